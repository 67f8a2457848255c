"""`olivine evaluate`: what a pretraining is worth with few labels."""

from olivine.cli.options import Changes, Config, Force, Json, Recipe
from olivine.cli.output import scores_table, write, write_json, write_next, write_table
from olivine.cli.stores import open_tracker

SWEEP = "components"  # what a newcomer asks next


def evaluate(
    recipe: Recipe = "",
    config: Config = "",
    changes: Changes = None,
    force: Force = False,
    as_json: Json = False,
) -> int:
    """Pretrain if need be, then probe or fine-tune with few labels."""
    from olivine.experiments.requests import ExperimentRequest
    from olivine.runners.launch import launch_evaluation

    request = ExperimentRequest(recipe, config, tuple(changes or ()))
    experiment, runtime = request.resolve()
    result = launch_evaluation(experiment, runtime, open_tracker(runtime), force=force)
    reused = [str(one) for one in result.reused]
    if as_json:
        scores = dict(result.scores)
        write_json({"run": result.key.fingerprint, "scores": scores, "reused": reused})
        return 0
    for sentence in reused:
        write(sentence)
    write_table(("score", "value"), scores_table(result.scores))
    write(f"Run {result.key.fingerprint} in {runtime.store_uri()}")
    write_next(["sweep", SWEEP, *request.words(recipe_option=True), "--dry-run"])
    return 0
