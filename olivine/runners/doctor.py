"""A check of the machine: packages, devices, weights, data, disk, Ray and the run store."""

import importlib.metadata
import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from olivine.core.buckets import is_bucket
from olivine.core.errors import UserError
from olivine.core.loader_share import loader_share, part_of, this_machine
from olivine.core.runtime import Runtime

PACKAGES = ("torch", "ray", "mlflow", "numpy", "pandas", "pydantic", "pyarrow", "scikit-learn")
# A module of every extra, and the extra's purpose.
EXTRAS = {
    "demo": ("embreex", "the synthetic world of `olivine demo` and `olivine data synth`"),
    "grounded-sam": ("groundingdino", "labels by GroundingDINO and SAM"),
    "transformers": ("transformers", "the same by model folders, engine=transformers"),
    "teachers": ("timm", "ResNet-50 and DINO as teachers"),
    "superpixels": ("skimage", "SLIC superpixels, of SLidR's methods"),
    "minkowski": ("MinkowskiEngine", "backbone.engine=minkowski"),
}
LOW_GB = (
    10.0  # free disk space; labels of trainval take 4 GB, a checkpoint of MinkUNet-34 takes 0.3 GB
)
ANSWER_S = 3.0


@dataclass(frozen=True)
class Finding:
    """One result of the check; `fix` is the command that helps, or empty."""

    area: str
    name: str
    state: Literal["ok", "note", "missing"]
    detail: str
    fix: str = ""


def examine(runtime: Runtime, *, fast: bool = False) -> list[Finding]:
    """Return all findings; with `fast`, torch is not imported and no server is contacted."""
    findings = [*_versions(), *_extras(), *_weights(), *_data(runtime), *_disk(runtime)]
    if not fast:
        findings += [*_devices(), *_loading(runtime), *_ray(runtime), *_store(runtime)]
    return findings


def _versions() -> Iterator[Finding]:
    yield Finding("version", "python", "ok", sys.version.split()[0])
    for name in ("olivine", *PACKAGES):
        try:
            yield Finding("version", name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            fix = "pip install -e ." if name == "olivine" else f"pip install {name}"
            yield Finding("version", name, "missing", "is not installed", fix)


def _extras() -> Iterator[Finding]:
    for extra, (module, use) in EXTRAS.items():
        if importlib.util.find_spec(module) is not None:
            yield Finding("extra", extra, "ok", use)
            continue
        fix = f"pip install 'olivine[{extra}]'"
        if extra == "minkowski":
            fix = "built on the machine, as docs/networks.md says"
        yield Finding("extra", extra, "note", f"not installed; for {use}", fix)


def _weights() -> Iterator[Finding]:
    from olivine.models.weights import problems, published, weights_folder

    folder = weights_folder("")
    for name, weights in published().items():
        size = f"{weights.size_bytes / 1e6:,.0f} MB"
        if list(problems(weights, folder, read=False)):
            fix = f"olivine weights fetch {name}"
            yield Finding("weights", name, "note", f"not in {folder}, {size}", fix)
        else:
            yield Finding("weights", name, "ok", f"in {folder}, {size}")


def _data(runtime: Runtime) -> Iterator[Finding]:
    root = runtime.data_root
    if is_bucket(root):
        yield Finding("data", root, "note", "a bucket, which is not checked")
        return
    folder = Path(root).expanduser()
    found = sorted(path.name for path in folder.glob("v1.0-*")) if folder.is_dir() else []
    if found:
        yield Finding("data", root, "ok", f"nuScenes, {', '.join(found)}")
    elif (folder / "sequences").is_dir():
        yield Finding("data", root, "ok", "SemanticKITTI")
    else:
        detail = "is not there" if not folder.is_dir() else "holds no v1.0-* and no sequences/"
        fix = f"olivine data synth {root}, or --set runtime.data_root=FOLDER"
        yield Finding("data", root, "note", detail, fix)


def _disk(runtime: Runtime) -> Iterator[Finding]:
    for name, place in {
        "runtime.out": runtime.out,
        "runtime.cache_dir": str(runtime.cache_path()),
        "Ray's folder": os.environ.get("RAY_TMPDIR", "/tmp"),
        "/dev/shm": "/dev/shm",
    }.items():
        if is_bucket(place):
            yield Finding("disk", name, "note", f"{place} is a bucket, which is not checked")
            continue
        path = Path(place).expanduser().absolute()
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        free_gb = shutil.disk_usage(there).free / 1e9
        writable = there.is_dir() and os.access(there, os.W_OK)
        state: Literal["ok", "note", "missing"] = "ok" if free_gb > LOW_GB else "note"
        detail = f"{free_gb:.0f} GB free in {place}"
        if not writable:
            state, detail = "missing", f"{place} cannot be written"
        yield Finding("disk", name, state, detail)


def _devices() -> Iterator[Finding]:
    import torch

    threads = f"{os.cpu_count()} CPUs, {torch.get_num_threads()} threads"
    yield Finding("device", "cpu", "ok", f"{threads}, {torch.backends.cpu.get_cpu_capability()}")
    if not torch.cuda.is_available():
        built = torch.version.cuda or "for the CPU alone"
        fix = "" if torch.version.cuda else "pip install torch, a CUDA build (pytorch.org)"
        yield Finding("device", "cuda", "note", f"torch sees no GPU; it is built {built}", fix)
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        half = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
        detail = f"{card.name}, {card.total_memory / 1e9:.0f} GB, {half}"
        yield Finding("device", f"cuda:{index}", "ok", detail)


def _loading(runtime: Runtime) -> Iterator[Finding]:
    """Find how many loader processes a worker of a training on this machine starts."""
    import torch

    if runtime.num_loader_workers != "auto":
        detail = f"{runtime.num_loader_workers} loader processes per worker, as set"
        yield Finding("device", "loading", "ok", detail)
        return
    num_gpus = torch.cuda.device_count() if runtime.device != "cpu" else 0
    machine, held = this_machine(), {"CPU": 1.0, "GPU": 1.0 if num_gpus else 0.0}
    if runtime.launcher == "ray":
        machine = part_of(machine, held, {"CPU": machine.num_cpus, "GPU": float(num_gpus)})
    share = loader_share(machine, on_gpu=num_gpus > 0, cache_mb=runtime.loader_cache_mb)
    detail = f"{share.number} loader processes per worker, {share.reason}"
    yield Finding("device", "loading", "ok", detail)


def _ray(runtime: Runtime) -> Iterator[Finding]:
    address = runtime.ray_address or os.environ.get("RAY_ADDRESS", "")
    if not address or address == "local":
        yield Finding("Ray", "cluster", "ok", "no address is set: a Ray on this machine is started")
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        yield Finding("Ray", address, "note", "is contacted when a job starts")
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        fix = "unset RAY_ADDRESS, or name a cluster by --set runtime.ray_address=HOST:PORT"
        yield Finding("Ray", address, "missing", f"does not answer ({error})", fix)
    else:
        yield Finding("Ray", address, "ok", "answers")


def _store(runtime: Runtime) -> Iterator[Finding]:
    from olivine.tracking.store_uri import without_password

    try:
        uri = runtime.store_uri()
    except UserError as error:
        yield Finding("store", "runs", "missing", str(error))
        return
    file = uri.removeprefix("sqlite:///")
    if file != uri and not Path(file).exists():
        yield Finding("store", without_password(uri), "ok", "will be created by the first run")
        return
    from olivine.tracking.mlflow_backend.tracker import MlflowTracker

    try:
        number = len(MlflowTracker(uri).records())
    except UserError as error:
        yield Finding("store", without_password(uri), "missing", str(error))
    else:
        yield Finding("store", without_password(uri), "ok", f"{number} runs")
