"""The architecture of a checkpoint that is not published, from a file beside it.

The architecture of published weights is known from their name. That of other weights is in
`<checkpoint>.yaml`, as settings, since a checkpoint itself holds tensors alone.
"""

from pathlib import Path
from typing import TypeVar

from olivine.core.errors import UserError
from olivine.core.spec import Spec, read_yaml

SpecT = TypeVar("SpecT", bound=Spec)


def read_architecture(path: Path, spec: type[SpecT]) -> SpecT:
    """Return the settings in `<path>.yaml`; raise UserError if it is missing or holds others."""
    about = path.with_name(path.name + ".yaml")
    if not about.is_file():
        raise UserError(
            f"{path} is not among the published weights, so its architecture must stand in "
            f"{about}, with the settings {', '.join(spec.model_fields)}; or name published weights "
            "(`olivine weights list`)."
        )
    try:
        return spec.from_dict(read_yaml(about))
    except UserError as error:
        raise UserError(f"{about}: {error}") from None
