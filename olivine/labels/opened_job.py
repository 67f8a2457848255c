"""A labelling job as it was found: the images to label, the labeller and the store of its maps."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from olivine.core.errors import UserError
from olivine.core.hashing import combined_hash
from olivine.core.runtime import Runtime
from olivine.data.dataset import Frames
from olivine.data.identity.split import identity_of
from olivine.labels.config import LabelConfig, Selection
from olivine.labels.current import outdated_images, parts_read, refuse_old_labels
from olivine.labels.labeller import Labeller
from olivine.labels.store import LabelStore, label_map_name


@dataclass(frozen=True)
class LabelJob:
    """The images to label, the labeller and the store of its maps."""

    frames: Frames
    labeller: Labeller
    store: LabelStore
    image_names: tuple[str, ...]  # all of the data set
    left: tuple[str, ...]  # without a map; sorted, so that images of one moment are together
    failed_before: frozenset[str]  # images without a map that have a recorded failure
    left_out: tuple[str, ...] = ()  # images without a map that this job leaves out
    records: Mapping[str, str] = field(default_factory=dict)  # map -> the image it was made of
    outdated: frozenset[str] = frozenset()  # of the ones left: with a map of another image
    retries: bool = False  # whether the images of this job failed before

    def choose(self, selection: Selection) -> "LabelJob":
        """Return the job of the selected images; the others are left out."""
        if selection.limit is not None and selection.limit < 1:
            raise UserError(f"--limit takes a number of at least 1; it was {selection.limit}.")
        taken = [n for n in self.left if (n in self.failed_before) == selection.retry_failed]
        taken = taken[: selection.limit]
        rest = set(self.left).difference(taken)
        return replace(
            self,
            left=tuple(taken),
            left_out=tuple(sorted(rest)),
            retries=selection.retry_failed,
        )

    @property
    def num_finished(self) -> int:
        """The number of images that had a map when the job was opened."""
        return len(self.image_names) - len(self.left) - len(self.left_out)

    @property
    def num_failed_left_out(self) -> int:
        """The number of images that are left out because they failed before."""
        return len(self.failed_before.intersection(self.left_out))


def open_job(config: LabelConfig, runtime: Runtime) -> LabelJob:
    """Open the data set and find, by one listing, the images without a map of them.

    Raises UserError as `job_of` does.
    """
    return job_of(config, open_images(config, runtime), runtime)


def open_images(config: LabelConfig, runtime: Runtime) -> Frames:
    """Open the data set of a job; raise UserError if it has no images."""
    frames = config.dataset.open(runtime.data_path(), runtime.cache_path())
    names = frames.image_names()
    if not names:
        raise UserError(
            f"The data set at {frames.root} has no images to label; choose a split and "
            "cameras that have some."
        )
    if len({label_map_name(name) for name in names}) < len(names):
        raise UserError(f"Two images below {frames.root} differ by their suffix alone.")
    return frames


def job_of(
    config: LabelConfig, frames: Frames, runtime: Runtime, *, may_begin: bool = False
) -> LabelJob:
    """Return the job of opened frames: images without a map, and those whose map is of another.

    Raises UserError if only a version before 0.3 left labels, unless the job `may_begin` anew.
    """
    names = tuple(frames.image_names())
    store = LabelStore.of(runtime.out, frames, config.labeller)
    if not may_begin:
        refuse_old_labels(store, frames, config, runtime)
    finished, failed = store.listing()
    have = [name for name in names if label_map_name(name) in finished]
    records = store.images.of([label_map_name(name) for name in have])
    outdated = outdated_images(frames, have, records)
    left = tuple(
        sorted(name for name in names if label_map_name(name) not in finished or name in outdated)
    )
    return LabelJob(
        frames,
        config.labeller,
        store,
        names,
        left,
        frozenset(failed.intersection(left)),
        outdated=frozenset(outdated),
        records=records,
    )


def run_fingerprint(config: LabelConfig, job: LabelJob) -> str:
    """Return 12 hex digits of everything that decides the labels, and only of that."""
    read = identity_of(job.frames).of(*parts_read(job.labeller))
    return combined_hash(config.fingerprint(), read, job.labeller.identity)
