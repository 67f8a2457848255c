"""The parent package of modules from users' files, `olivine.user_code.h_<hash>.<file>`.

A process that unpickles an object of such a module imports this one first, which registers the
finder. See `olivine.core.plugins.file_modules`.
"""

from olivine.core.plugins.file_modules import install_finder

__path__: list[str] = []  # no folder: the finder locates the modules
install_finder()
