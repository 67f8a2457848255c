"""Weak labels, a pretraining and its linear probe.

    python examples/pretrain_and_evaluate.py DATA OUT [NAME=VALUE ...]

DATA is the root of a data set in nuScenes' format (`olivine data synth DATA` makes one), OUT the
folder of the runs; settings are those of `--set`. Running it again does only what is missing.
"""

import sys

import olivine


def main(data: str, out: str, *settings: str) -> None:
    """Print the scores of the recipe `demo`."""
    runtime = olivine.Runtime(data_root=data, out=out, launcher="process")
    for labels in olivine.label("demo", settings, runtime=runtime):
        print(labels)
    pretrained = olivine.pretrain("demo", settings, runtime=runtime)
    print(f"weights: {out}/{pretrained.weights}")
    evaluated = olivine.evaluate("demo", settings, runtime=runtime)
    for name, score in evaluated.scores.items():
        print(f"{name:28s} {score:6.2f} %")
    print(f"run: {evaluated.key.fingerprint}")


if __name__ == "__main__":
    main(*sys.argv[1:])
