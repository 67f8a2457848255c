"""A question with two rows and two seeds over Ray Tune, and its table as a pandas frame.

    python examples/sweep_and_table.py DATA OUT [NAME=VALUE ...]

Does the pixel term's temperature matter? DATA is the root of a data set in nuScenes' format, OUT
the folder of the runs; settings are those of `--set`. Trials that are finished are not run again.
"""

import sys

import olivine

TEMPERATURE = "pretrained.method.terms.pixel.loss.temperature"
SWEEP = olivine.Sweep(
    name="temperature",
    question="Does the pixel term's temperature matter?",
    metric="miou",
    recipe="demo_ppkt",
    rows={"0.07": {}, "0.2": {TEMPERATURE: 0.2}},
    seeds=(0, 1),
    seed_names=("seed", "pretrained.seed"),
)


def main(data: str, out: str, *settings: str) -> None:
    """Run what is missing and print the table, with the first row as the baseline."""
    runtime = olivine.Runtime(data_root=data, out=out)
    outcome = olivine.run_sweep(SWEEP, settings, runtime=runtime)
    for trial, reason in outcome.failures.items():
        print(f"failed: {trial}: {reason}")
    print(olivine.table("temperature", out=out, layout="wide").round(2).to_string())
    lines = olivine.table("temperature", out=out, metrics=["miou"], baseline="0.07")
    print(lines[["method", "mean", "std", "n", "difference", "p"]].round(3).to_string(index=False))


if __name__ == "__main__":
    main(*sys.argv[1:])
