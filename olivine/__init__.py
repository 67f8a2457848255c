"""OLIVINE on Ray: which pretraining makes a LiDAR network best with the fewest labels, and why.

    import olivine

    experiment = olivine.recipe("demo", {"num_epochs": 5})
    result = olivine.evaluate(experiment, runtime=olivine.Runtime(out="runs"))
    encoder = olivine.PointEncoder(olivine.load_backbone(result.key.fingerprint))
    features = encoder(xyz_m, intensity)

`dir(olivine)` lists all public names; docs/python_api.md explains them. A name's module is imported
when the name is first used, so `import olivine` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from olivine import names_of_0_1

if TYPE_CHECKING:
    from olivine.api.scan_outputs import embed as embed
    from olivine.api.scan_outputs import predict as predict
    from olivine.api.stages import evaluate as evaluate
    from olivine.api.stages import label as label
    from olivine.api.stages import pretrain as pretrain
    from olivine.api.stages import recipe as recipe
    from olivine.api.stages import run_sweep as run_sweep
    from olivine.api.tables import table as table
    from olivine.core.errors import UserError as UserError
    from olivine.core.runtime import Runtime as Runtime
    from olivine.experiments.limits import Limits as Limits
    from olivine.experiments.sweep import Sweep as Sweep
    from olivine.inference import EvaluatedNetwork as EvaluatedNetwork
    from olivine.inference import PointClassifier as PointClassifier
    from olivine.inference import PointEncoder as PointEncoder
    from olivine.inference import PretrainedBackbone as PretrainedBackbone
    from olivine.inference import load_backbone as load_backbone
    from olivine.inference import load_segmenter as load_segmenter
    from olivine.training.config import EvaluateConfig as EvaluateConfig
    from olivine.training.config import PretrainConfig as PretrainConfig

__version__ = "0.3.0.dev0"

_OFFERED = {
    "olivine.api.scan_outputs": "embed predict",
    "olivine.api.stages": "evaluate label pretrain recipe run_sweep",
    "olivine.api.tables": "table",
    "olivine.core.errors": "UserError",
    "olivine.core.runtime": "Runtime",
    "olivine.experiments.limits": "Limits",
    "olivine.experiments.sweep": "Sweep",
    "olivine.inference": "EvaluatedNetwork PointClassifier PointEncoder PretrainedBackbone "
    "load_backbone load_segmenter",
    "olivine.training.config": "EvaluateConfig PretrainConfig",
}
_MODULE_OF = {name: module for module, names in _OFFERED.items() for name in names.split()}
__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604 # they are texts

names_of_0_1.install_old_names(frozenset(_MODULE_OF))

if not TYPE_CHECKING:  # otherwise a type checker would accept any name

    def __getattr__(name: str) -> object:
        """Import the module of a name that is used for the first time."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
