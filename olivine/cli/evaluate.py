"""`olivine evaluate`: the score of a pretraining with few labels."""

from olivine.cli.options import Changes, Config, Force, Json, Recipe
from olivine.cli.output import scores_table, write_json, write_line, write_next, write_rows
from olivine.cli.stores import open_tracker

SWEEP = "components"  # the comparison that is suggested next


def evaluate(
    recipe: Recipe = "",
    config: Config = "",
    changes: Changes = None,
    force: Force = False,
    as_json: Json = False,
) -> int:
    """Pretrain unless that is done, then probe or fine-tune with few labels."""
    from olivine.experiments.requests import ExperimentRequest
    from olivine.results.words import overlap_remark
    from olivine.runners.launch import launch_evaluation

    request = ExperimentRequest(recipe, config, tuple(changes or ()))
    experiment, runtime = request.resolve()
    result = launch_evaluation(experiment, runtime, open_tracker(runtime), force=force)
    reused = [str(one) for one in result.reused]
    if as_json:
        scores = dict(result.scores)
        facts = {"run": result.key.fingerprint, "scores": scores, "reused": reused}
        write_json({**facts, "overlap": result.overlap})
        return 0
    for sentence in reused:
        write_line(sentence)
    write_rows(("score", "value"), scores_table(result.scores, result.overlap))
    if result.overlap:
        write_line(overlap_remark([result.overlap]))
    write_line(f"Run {result.key.fingerprint} in {runtime.store_uri()}")
    write_next(["sweep", SWEEP, *request.arguments(recipe_option=True), "--dry-run"])
    return 0
