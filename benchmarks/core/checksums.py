"""What do the checksums of derived files cost?

Saves and loads the state of a pretraining of MinkUNet-34 (weights and momentum), and opens an index
of nuScenes' trainval size and uses all of its columns, each with and without checksums, which take
turns. Allowed are 5 % or 0.1 s of each. Processor time is measured, which other load lengthens
little: a checksum waits for nothing. 1 GB of disk.

    python benchmarks/core/checksums.py [--rounds 7] [--folder DIR] [--scale 1]
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from benchmarks.measuring import seconds_of_rounds
from olivine.core.storage import Store
from olivine.data.datasets.nuscenes.index_file import MappedTable, table_file
from olivine.experiments.recipes import recipe
from olivine.training.checkpoints import load_state, save_state
from olivine.training.pretrained_networks import built_backbone

NUM_FRAMES, NUM_CAMERAS = 34_149, 6
SHARE, SECONDS = 0.05, 0.1  # the cost that is allowed: the larger of the two
Ways = Mapping[str, Callable[[], object]]


def checkpoint_state() -> dict:
    """Return a pretraining's state: weights, and momentum as an optimiser has it."""
    network = built_backbone(recipe("olivine").pretrained)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimiser.step()
    return {"step": 1, "module": network.state_dict(), "optimiser": optimiser.state_dict()}


def checkpoint_ways(folder: Path) -> tuple[int, Ways, Ways]:
    """Return a state's size in bytes, and the ways to save it and to load it."""
    store, state = Store(folder), checkpoint_state()

    def save_plain() -> None:
        stream = io.BytesIO()
        torch.save(state, stream)
        store.write("plain.pt", stream.getvalue())

    saves = {
        "with": lambda: save_state(store, "checked.pt", state),
        "without": save_plain,
    }
    for save in saves.values():
        save()
    loads = {
        "with": lambda: load_state(store, "checked.pt"),
        "without": lambda: torch.load(io.BytesIO(store.read("plain.pt")), weights_only=True),
    }
    return (folder / "checked.pt").stat().st_size, saves, loads


def index_table(num_frames: int) -> pa.Table:
    """Return invented rows with the columns of nuScenes' index."""
    generator = np.random.default_rng(0)
    num_images = num_frames * NUM_CAMERAS

    def texts(number: int, form: str) -> pa.Array:
        digits = generator.bytes(16 * number).hex()
        return pa.array([form % digits[32 * place : 32 * place + 32] for place in range(number)])

    def rows(width: int, dtype: type = np.float64) -> pa.Array:
        values = generator.normal(size=num_frames * width).astype(dtype)
        return pa.FixedSizeListArray.from_arrays(pa.array(values), width)

    images = texts(num_images, "samples/CAM_FRONT/n015-2018-07-24-11-22-45+0800__%s.jpg")
    return pa.table(
        {
            "token": texts(num_frames, "%s"),
            "time_ns": np.arange(num_frames, dtype=np.int64),
            "scan_token": texts(num_frames, "%s"),
            "scan_name": texts(num_frames, "samples/LIDAR_TOP/n015-2018-07-24__%s.pcd.bin"),
            "label_name": texts(num_frames, "lidarseg/v1.0-trainval/%s_lidarseg.bin"),
            "image_name": pa.FixedSizeListArray.from_arrays(images, NUM_CAMERAS),
            "cam_SE3_lidar": rows(16 * NUM_CAMERAS),
            "global_SE3_lidar": rows(16),
            "intrinsics_px": rows(9 * NUM_CAMERAS),
            "image_size_px": rows(2 * NUM_CAMERAS, np.int32),
        }
    )


def index_ways(folder: Path, num_frames: int) -> tuple[int, Ways]:
    """Return the size of an index in bytes, and the ways to open it and to use all of it."""
    table = index_table(num_frames)
    checked, plain = folder / "checked.arrow", folder / "plain.arrow"
    checked.write_bytes(table_file(table, ""))
    with pa.ipc.new_file(str(plain), table.schema) as writer:
        writer.write_table(table)

    def use(column: pa.Array) -> None:
        """Read all of its memory, as a run over all frames does."""
        for block in column.buffers():
            if block is not None:
                np.frombuffer(block, np.uint8).sum()

    def open_checked() -> None:
        file = MappedTable(checked, "")
        for name in table.column_names:
            use(file.column(name))

    def open_plain() -> None:
        read = pa.ipc.open_file(pa.memory_map(str(plain))).read_all()
        for name in table.column_names:
            use(read[name].chunk(0))

    return plain.stat().st_size, {"with": open_checked, "without": open_plain}


def report(name: str, rounds: int, ways: Ways) -> bool:
    """Measure, print one line, and return whether the cost is allowed."""
    seconds = seconds_of_rounds(rounds, ways, time.process_time)
    usual_s, with_s = min(seconds["without"]), min(seconds["with"])
    cost_s = with_s - usual_s
    is_allowed = cost_s <= max(SHARE * usual_s, SECONDS)
    print(
        f"{name:26}{usual_s:7.3f} s without, {with_s:7.3f} s with: {cost_s * 1e3:+7.1f} ms, "
        f"{100 * cost_s / usual_s:+5.1f} %{'' if is_allowed else '  TOO MUCH'}"
    )
    return is_allowed


def main() -> None:
    """Measure, print, and fail if the cost is not allowed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where the temporary files go")
    parser.add_argument("--scale", type=float, default=1.0, help="of the index; 1 is trainval")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        folder = Path(temporary)
        num_bytes, saves, loads = checkpoint_ways(folder)
        print(f"checkpoint of {num_bytes / 1e6:.0f} MB")
        allowed = [report("save", args.rounds, saves), report("load", args.rounds, loads)]
        num_bytes, opens = index_ways(folder, round(args.scale * NUM_FRAMES))
        print(f"index of {num_bytes / 1e6:.0f} MB")
        allowed.append(report("open and use all columns", args.rounds, opens))
    raise SystemExit(0 if all(allowed) else 1)


if __name__ == "__main__":
    main()
