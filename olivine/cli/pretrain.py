"""`olivine pretrain`: image-to-LiDAR distillation."""

from olivine.cli.options import Changes, Config, Force, Json, Recipe
from olivine.cli.output import write_json, write_line, write_next
from olivine.cli.stores import open_tracker


def pretrain(
    recipe: Recipe = "",
    config: Config = "",
    changes: Changes = None,
    force: Force = False,
    as_json: Json = False,
) -> int:
    """Distil images into a LiDAR network, on Ray Train."""
    from olivine.experiments.requests import ExperimentRequest
    from olivine.runners.launch import launch_pretraining

    request = ExperimentRequest(recipe, config, tuple(changes or ()))
    experiment, runtime = request.resolve()
    tracker = open_tracker(runtime)
    result = launch_pretraining(experiment, runtime, tracker, force=force)
    reused = [str(result.reused)] if result.reused else []
    weights = f"{runtime.out}/{result.weights}"
    if as_json:
        write_json({"run": result.key.fingerprint, "weights": weights, "reused": reused})
    else:
        for sentence in reused:
            write_line(sentence)
        write_line(f"Weights: {weights}")
        write_next(["evaluate", *request.arguments()])
    return 0
