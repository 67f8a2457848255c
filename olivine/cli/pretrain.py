"""`olivine pretrain`: image-to-LiDAR distillation."""

from olivine.cli.options import Changes, Config, Json, Recipe
from olivine.cli.output import write, write_json, write_next
from olivine.cli.stores import open_tracker


def pretrain(
    recipe: Recipe = "", config: Config = "", changes: Changes = None, as_json: Json = False
) -> int:
    """Distil images into a LiDAR network, on Ray Train."""
    from olivine.experiments.requests import ExperimentRequest
    from olivine.runners.launch import launch_pretraining

    request = ExperimentRequest(recipe, config, tuple(changes or ()))
    experiment, runtime = request.resolve()
    result = launch_pretraining(experiment.pretrained, runtime, open_tracker(runtime))
    weights = f"{runtime.out}/{result.weights}"
    if as_json:
        write_json({"run": result.key.fingerprint, "weights": weights})
    else:
        write(f"Weights: {weights}")
        write_next(["evaluate", *request.words()])
    return 0
