"""`olivine show`: the resolved settings of a recipe."""

from typing import Annotated

import typer

from olivine.cli.options import Changes, Config, Json, Recipe
from olivine.cli.output import write_json, write_line, write_rows


def show(
    recipe: Recipe = "",
    config: Config = "",
    changes: Changes = None,
    describe: Annotated[bool, typer.Option("--describe", help="Describe every setting.")] = False,
    as_json: Json = False,
) -> int:
    """Print all settings of a recipe, in the form that --config takes."""
    import yaml

    from olivine.core.settings_reference import described
    from olivine.experiments.requests import ExperimentRequest

    experiment, runtime = ExperimentRequest(recipe, config, tuple(changes or ())).resolve()
    tree = {**experiment.to_dict(), "runtime": runtime.to_dict()}
    if describe:
        settings = [*described(experiment), *described(runtime, "runtime")]
        if as_json:
            write_json([setting._asdict() for setting in settings])
        else:
            rows = [(one.name, one.text, one.description) for one in settings]
            write_rows(("setting", "value", "what it is"), rows)
    elif as_json:
        write_json({"fingerprint": experiment.fingerprint(), "settings": tree})
    else:
        write_line(f"# fingerprint {experiment.fingerprint()}, without runtime")
        write_line(yaml.safe_dump(tree, sort_keys=False).rstrip())
    return 0
