"""The class of every point, for a split and for single files.

    python examples/predictions.py RUN DATA OUT TARGET [SCAN ...]

RUN is an evaluation, DATA the root of its data set, OUT the folder of the runs. The evaluation's
validation split goes to TARGET/split in its benchmark's own format (nuScenes' is ready for
nuscenes-devkit), the scans go to TARGET/files. Running it again writes only what is missing.
"""

import sys

import olivine


def main(run: str, data: str, out: str, target: str, *scans: str) -> None:
    """Write the predictions and print how many there are."""
    runtime = olivine.Runtime(data_root=data, out=out)
    network = olivine.load_segmenter(run, out=out)
    print(f"{len(network.class_names)} classes: {', '.join(network.class_names)}")
    split = olivine.predict(network, f"{target}/split", data=network.config.val, runtime=runtime)
    print(f"{split.num_written} frames written to {split.folder}, {split.num_kept} were there")
    if scans:
        files = olivine.predict(network, f"{target}/files", files=scans, runtime=runtime)
        print(f"{files.num_written} files written to {files.folder}, {files.num_kept} were there")


if __name__ == "__main__":
    main(*sys.argv[1:])
