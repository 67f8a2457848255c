"""The parent of modules that people's own files become, `olivine.user_code.h_<hash>.<file>`.

A process that is sent an object of such a module imports this one first, and so finds the module.
See `olivine.core.plugins.file_modules`.
"""

from olivine.core.plugins.file_modules import install_finder

__path__: list[str] = []  # no folder of this package: the finder knows where each one lies
install_finder()
