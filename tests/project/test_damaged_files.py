"""A damaged file is never used in silence: flipped bits, cuts, and other files in its place.

A reader either returns the same as before, or says which file is wrong: in an error, a warning or a
note in the log.
"""

import io
import logging
import random
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch import nn

from olivine.core import checksums
from olivine.core.array_cache import ArrayCache
from olivine.core.checksums import write_checked
from olivine.core.errors import UserError
from olivine.core.plugins import code_cache
from olivine.core.plugins.source_tree import SourceTree
from olivine.core.storage import Store
from olivine.data.datasets.nuscenes.index_file import MappedTable, table_file
from olivine.experiments.recipes import demo
from olivine.inference.output_folder import NOTE, OutputFolder
from olivine.labels.store import LabelStore
from olivine.models.teachers.map_cache import TeacherMapCache
from olivine.tracking.spool import MetricSpool
from olivine.training.checkpoints import Checkpoints, load_state, save_state
from olivine.training.evaluated_network import NetworkDescription
from olivine.training.pretrained_weights import load_weights, save_weights
from olivine.training.scene_counts import SceneCounts
from olivine.training.validation import read_predictions
from tests.support.image_folder import Threshold

NUM_FLIPS, NUM_CUTS = 1000, 12
IMAGE = "samples/CAM_FRONT/a.jpg"


@dataclass
class Kind:
    """A kind of file: one that was just written, the function that reads it, and another one."""

    path: Path
    read: Callable[[], Any]  # a value that == compares
    other: bytes = b""  # of the same kind, for another subject; empty: there are no subjects


def arrays(**named: np.ndarray) -> dict[str, list]:
    return {name: array.tolist() for name, array in named.items()}


def checkpoint(folder: Path) -> Kind:
    checkpoints = Checkpoints(Store(folder), "run")
    for step in (1, 2):
        checkpoints.save(step, {"step": step, "weight": torch.full((3,), float(step))})

    def read() -> Any:
        state = checkpoints.latest()
        return state and (state["step"], state["weight"].tolist())

    first, second = (folder / "run" / f"step_0000000{step}.pt" for step in (1, 2))
    return Kind(second, read, first.read_bytes())


def scores(folder: Path) -> Kind:
    checkpoints = Checkpoints(Store(folder), "run")
    for step in (1, 2):
        checkpoints.record_score(step, 40.0 + step)
    return Kind(folder / "run" / "scores.json", checkpoints.scores)


def weights(folder: Path) -> Kind:
    layer = nn.Linear(3, 2)
    store = Store(folder)
    save_weights(store, "backbone.pt", layer.state_dict(), demo().pretrained)

    def read() -> Any:
        load_weights(store, "backbone.pt", layer, torch.device("cpu"))
        return layer.weight.tolist(), layer.bias.tolist()

    return Kind(folder / "backbone.pt", read)


def moved_weights(folder: Path) -> Kind:
    save_state(Store(folder / "run"), "net.pt", {"segmenter": torch.arange(5)})
    path = folder / "mine" / "renamed.pth"
    path.parent.mkdir()
    shutil.move(folder / "run" / "net.pt", path)

    def read() -> Any:
        return load_state(Store(path.parent), path.name)["segmenter"].tolist()

    return Kind(path, read)


def kept_arrays(folder: Path) -> Kind:
    kept = ArrayCache(Store(folder), "clusters/a-b")
    said = {"here": np.arange(9, dtype=np.int32)}

    def of(token: str, said: dict[str, np.ndarray]) -> Any:
        return arrays(**kept.of(token, {"here": 9}, lambda: said, "a scan"))

    of("other", {"here": said["here"] + 1})
    of("token", said)
    other = (folder / "clusters/a-b/other.npz").read_bytes()
    unsaid = {"here": np.zeros(9, np.int32)}
    return Kind(folder / "clusters/a-b/token.npz", lambda: of("token", unsaid), other)


def teacher_maps(folder: Path) -> Kind:
    maps = TeacherMapCache(Store(folder), "ab", (2, 1, 3), torch.float32)
    said = torch.arange(6.0).reshape(1, 2, 1, 3)
    maps.write("token", said)
    maps.write("other", said + 1)

    def read() -> Any:
        found = maps.read("token", 1)
        return None if found is None else found.tolist()

    files = folder / "teacher_maps/ab"
    return Kind(files / "token.npz", read, (files / "other.npz").read_bytes())


def confusions(folder: Path) -> Kind:
    store = Store(folder)
    for number, name in enumerate(("one", "two")):
        counts = SceneCounts(("a", "b"), np.full((2, 2, 2), number), ("car", "road"), "skip")
        write_checked(store, f"evaluated/{name}/confusions.npz", counts.to_bytes(), name)

    def read() -> Any:
        found = SceneCounts.read(store, "evaluated/one/confusions.npz")
        return found.scenes, found.counts.tolist(), found.class_names, found.absent

    one, two = (folder / "evaluated" / name / "confusions.npz" for name in ("one", "two"))
    return Kind(one, read, two.read_bytes())


def first_frame(folder: Path) -> Kind:
    store = Store(folder)
    stream = io.BytesIO()
    np.savez_compressed(stream, truth=np.arange(4), predicted=np.arange(4)[::-1])
    for name in ("one", "two"):
        write_checked(store, f"evaluated/{name}/first_frame.npz", stream.getvalue(), name)

    def read() -> Any:
        return arrays(**read_predictions(store, "evaluated/one/first_frame.npz"))

    one, two = (folder / "evaluated" / name / "first_frame.npz" for name in ("one", "two"))
    return Kind(one, read, two.read_bytes())


def network_description(folder: Path) -> Kind:
    store, note = Store(folder), NetworkDescription(demo(), ("car", "road"), "ab12")
    write_checked(store, "network.json", note.to_bytes())
    return Kind(folder / "network.json", lambda: NetworkDescription.read(store, "network.json"))


def labels(folder: Path) -> tuple[LabelStore, Path]:
    store = LabelStore(folder, "f01de4", "0ddba11")
    store.begin(Threshold())
    return store, folder / "labels/f01de4-0ddba11"


def label_map(folder: Path) -> Kind:
    store, files = labels(folder)
    store.write(IMAGE, np.eye(5, dtype=np.uint8))
    store.write("other.jpg", np.zeros((5, 5), np.uint8))
    path = files / "samples/CAM_FRONT/a.png"
    return Kind(path, lambda: store.read(IMAGE).tolist(), (files / "other.png").read_bytes())


def labeller(folder: Path) -> Kind:
    _, files = labels(folder)

    def read() -> Any:
        return LabelStore.open(folder, "f01de4", "0ddba11").class_names

    return Kind(files / "labeller.json", read)


def failed_image(folder: Path) -> Kind:
    store, files = labels(folder)
    store.record_failure(IMAGE, "it is cut")
    store.record_failure("other.jpg", "it is red")

    def read() -> Any:
        reason = store.failed()[IMAGE]
        if str(folder) in reason:  # the sentence about the record instead of its text
            raise UserError(reason)
        return reason

    other = (files / "failed/other.jpg.txt").read_bytes()
    return Kind(files / f"failed/{IMAGE}.txt", read, other)


def results_note(folder: Path) -> Kind:
    names, stamps = ["a.npz", "b.npz"], ["10 bytes", "12 bytes"]

    def read() -> Any:
        with OutputFolder(folder, {"weights": "ab"}).opened(names, stamps) as missing:
            return missing

    read()
    for name in names:
        (folder / name).write_bytes(b"result")
    return Kind(folder / NOTE, read)


def index(folder: Path) -> Kind:
    columns = {
        "token": pa.array(["one", "two", None]),
        "image_name": pa.FixedSizeListArray.from_arrays(pa.array(list("abcdef")), 2),
        "time_ns": np.arange(3),
    }
    table = pa.table(columns).replace_schema_metadata({"olivine": '{"scenes": []}'})
    path = folder / "ab.3.arrow"
    path.write_bytes(table_file(table, "ab"))

    def read() -> Any:
        file = MappedTable(path, "ab")
        values = {name: file.column(name).to_pylist() for name in columns}
        return values, file.metadata[b"olivine"], file.table.num_rows

    return Kind(path, read, table_file(table, "cd"))


def outbox(folder: Path) -> Kind:
    spool = MetricSpool.create(folder, "run1", {"name": "a run"})
    for step in range(4):
        spool.append({"kind": "metrics", "step": step, "values": {"loss": 0.5 * step}})
    spool.mark_received(spool.pending()[0].end)
    spool.close()
    path = spool.path

    def read() -> Any:
        adopted = MetricSpool.adopt(path)
        if adopted is None:
            return "renamed"
        entries = [one.entry for one in adopted.pending()]
        for entry in entries:
            if entry["kind"] == "unreadable":  # as the sender refuses it
                logging.getLogger("olivine").warning(f"{path}: an entry is damaged")
        adopted.close()
        return entries

    return Kind(path, read)


def kept_copy(folder: Path) -> Kind:
    spool = MetricSpool.create(folder, "run1", {})
    name = spool.add_text("config.yaml", "seed: 1\n")
    other = spool.file(spool.add_text("other.yaml", "seed: 2\n")).read_bytes()
    spool.close()

    def read() -> Any:
        try:
            return spool.file(name).read_bytes()
        except ValueError as error:  # as the sender refuses it
            raise UserError(str(error)) from None

    return Kind(spool.file(name), read, other)


def user_code(folder: Path) -> Kind:
    tree = SourceTree({"my_loss.py": b"WEIGHT = 0.5\n"})

    def read() -> Any:
        code_cache._verified.clear()
        return (code_cache.cached_folder(code_cache.store_tree(tree)) / "my_loss.py").read_bytes()

    read()
    return Kind(code_cache.cache_root() / tree.hash / "my_loss.py", read)


KINDS = (
    checkpoint, scores, weights, moved_weights, kept_arrays, teacher_maps, confusions, first_frame,
    network_description, label_map, labeller, failed_image, results_note, index, outbox, kept_copy,
    user_code,
)  # fmt: skip


class Said(logging.Handler):
    """What is logged while a file is read."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Said]:
    monkeypatch.setattr(checksums, "_noted", set())
    monkeypatch.setattr("os.fsync", lambda _: None)  # no power is lost here
    monkeypatch.setenv(code_cache.VARIABLE, str(tmp_path / "user_code"))
    handler = Said()
    logging.getLogger("olivine").addHandler(handler)
    yield handler
    logging.getLogger("olivine").removeHandler(handler)


def outcome(kind: Kind, said: Said) -> tuple[Any, str]:
    """Return what is read now, and all that is said about it."""
    said.lines.clear()
    checksums._noted.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = kind.read()
        except UserError as error:
            value, lines = UserError, [str(error)]
        else:
            lines = []
    return value, "\n".join([*lines, *said.lines, *(str(one.message) for one in caught)])


def replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)  # a mapped file keeps its content
    path.write_bytes(content)


def used_in_silence(kind: Kind, contents: Sequence[bytes], said: Said) -> list[int]:
    """Return which contents of the file gave another value without a word about the file."""
    whole, files = kind.path.read_bytes(), set(kind.path.parent.iterdir())
    expected, complaint = outcome(kind, said)
    assert not complaint
    wrong = []
    for number, content in enumerate(contents):
        replace(kind.path, content)
        value, complaint = outcome(kind, said)
        if value != expected and kind.path.name not in complaint:
            wrong.append(number)
        for made in set(kind.path.parent.iterdir()) - files:
            made.unlink()
        replace(kind.path, whole)
    assert outcome(kind, said) == (expected, "")
    return wrong


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("make", KINDS)
def test_a_flipped_bit_changes_nothing_in_silence(
    make: Callable[[Path], Kind], tmp_path: Path, said: Said
) -> None:
    kind = make(tmp_path)
    data = kind.path.read_bytes()
    bits = random.Random(make.__name__).choices(range(8 * len(data)), k=NUM_FLIPS)
    assert used_in_silence(kind, [flipped(data, bit) for bit in bits], said) == []


@pytest.mark.parametrize("make", KINDS)
def test_a_cut_and_a_replaced_file_change_nothing_in_silence(
    make: Callable[[Path], Kind], tmp_path: Path, said: Said
) -> None:
    kind, draw = make(tmp_path), random.Random(make.__name__)
    data = kind.path.read_bytes()
    cuts = [data[: draw.randrange(len(data))] for _ in range(NUM_CUTS)]
    zeros = [data[:size] + bytes(len(data) - size) for size in (0, len(data) // 2, len(data) - 30)]
    contents = [b"", data[:-1], draw.randbytes(len(data)), data[::-1], *cuts, *zeros]
    assert used_in_silence(kind, [*contents, *([kind.other] * bool(kind.other))], said) == []


@pytest.mark.parametrize("make", KINDS)
def test_the_file_of_another_subject_is_named(
    make: Callable[[Path], Kind], tmp_path: Path, said: Said
) -> None:
    kind = make(tmp_path)
    if kind.other:
        replace(kind.path, kind.other)
        assert kind.path.name in outcome(kind, said)[1]
