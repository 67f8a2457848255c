"""The data of a pretraining: what a sample has of a frame, and the teacher's maps that are kept."""

from dataclasses import dataclass, replace

from olivine.core.errors import UserError
from olivine.core.runtime import Runtime
from olivine.core.storage import Store, absolute
from olivine.data.dataset import Frames
from olivine.data.pair_labels import PairLabels
from olivine.data.records import Frame, Sample
from olivine.data.samples import Samples, make_cloud, make_sample
from olivine.data.superpoints import Superpoints
from olivine.labels.config import LabelConfig
from olivine.labels.current import refuse_old_labels, require_current
from olivine.labels.labeller import Labeller
from olivine.labels.store import LabelStore
from olivine.models.teachers.map_cache import TeacherMapCache, require_fixed_images
from olivine.training.config import PretrainConfig
from olivine.training.worker import Worker


@dataclass(frozen=True)
class PretrainData:
    """Reads one sample; picklable, for loader processes."""

    config: PretrainConfig
    frames: Frames
    labels: LabelStore | None
    classes: PairLabels | None  # weak labels of pairs
    segments: LabelStore | None
    clusters: Superpoints | None

    @classmethod
    def open(cls, config: PretrainConfig, runtime: Runtime, frames: Frames) -> "PretrainData":
        """Return the reader of a pretraining's samples.

        Raises UserError if its weak labels or segments were never made or are of another kind.
        """
        if config.num_epochs and config.method.uses_images and not frames.camera_names:
            raise UserError(
                f"The data set at {frames.root} has no images, and a term of the method compares "
                "with them: set pretrained.data.kind to one that has, or take a method of scans "
                "alone, such as the recipe pointcontrast."
            )
        labels = _labels(config, runtime, frames)
        return cls(
            config,
            frames,
            labels,
            PairLabels(labels.read_for, labels.pair_label_cache()) if labels else None,
            _segments(config, runtime, frames),
            _clusters(config, runtime, frames),
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The weak vocabulary; without labels it is empty."""
        return self.labels.class_names if self.labels else ()

    def __call__(self, index: int) -> Sample:
        """Return the sample of one frame, with everything that the method's terms use."""
        uses_images = self.config.method.uses_images
        frame = self.frames.frame(index, images=uses_images, classes=False)
        sample = self._with_images(frame) if uses_images else make_cloud(frame)
        if self.clusters is None:
            return sample
        here, later, there = self.clusters.of(index, frame)
        view = replace(make_cloud(later), cluster_ids=there)
        return replace(sample, cluster_ids=here, view=view)

    def _with_images(self, frame: Frame) -> Sample:
        return make_sample(
            frame,
            self.classes,
            self.frames.camera_names,
            self.config.empty_camera,
            self.segments.read_for if self.segments else None,
        )


def _labels(config: PretrainConfig, runtime: Runtime, frames: Frames) -> LabelStore | None:
    if config.labels is None or not config.method.uses_classes or config.num_epochs == 0:
        return None
    if config.labels.makes == "segments":
        terms = [name for name, term in config.method.active().items() if term.uses_classes]
        raise UserError(
            f"pretrained.labels.kind={config.labels.kind} makes segments without names, and these "
            f"terms of the method need classes: {', '.join(terms)}. Choose a labeller of classes, "
            "or set the terms' weights to 0 by --set pretrained.method.terms.TERM.weight=0."
        )
    store = _open_labels(config.labels, "labels", config, runtime, frames)
    if store.class_names != config.labels.class_names:
        raise UserError(
            f"The labels at {store.path} have {len(store.class_names)} classes "
            f"({', '.join(store.class_names)}), and pretrained.labels.kind={config.labels.kind} "
            f"has {len(config.labels.class_names)} ({', '.join(config.labels.class_names)}): "
            "remove that folder and run `olivine label` again."
        )
    return store


def _segments(config: PretrainConfig, runtime: Runtime, frames: Frames) -> LabelStore | None:
    if config.segments is None or not config.method.uses_segments or config.num_epochs == 0:
        return None
    if config.segments.makes != "segments":
        raise UserError(
            f"pretrained.segments.kind={config.segments.kind} makes classes; a term that pools by "
            "superpixels needs segments, such as --set pretrained.segments.kind=slic."
        )
    return _open_labels(config.segments, "segments", config, runtime, frames)


def _open_labels(
    labeller: Labeller, setting: str, config: PretrainConfig, runtime: Runtime, frames: Frames
) -> LabelStore:
    store = LabelStore.of(runtime.out, frames, labeller)
    try:
        job = LabelConfig(dataset=config.data, labeller=labeller)
        refuse_old_labels(store, frames, job, runtime)
        _ = store.class_names  # raises if there are no labels
        require_current(store, frames)
        return store
    except UserError as error:
        raise UserError(f"pretrained.{setting}.kind={labeller.kind}: {error}") from None


def _clusters(config: PretrainConfig, runtime: Runtime, frames: Frames) -> Superpoints | None:
    if config.clusters is None or not config.method.uses_clusters:
        return None
    return Superpoints(frames, config.clusters, Store(absolute(runtime.out)))


def caches_maps(config: PretrainConfig, runtime: Runtime) -> bool:
    """Return whether the teacher's maps are cached; raise UserError if images change at random."""
    teaches = config.teacher is not None and config.method.uses_pixels and config.num_epochs > 0
    if not (runtime.keep_teacher_maps and teaches):
        return False
    require_fixed_images(config.augmentations)
    return True


def map_cache(
    config: PretrainConfig, runtime: Runtime, worker: Worker, samples: Samples, frames: Frames
) -> TeacherMapCache:
    """Return the cache of the teacher's maps, after its size is printed."""
    assert config.teacher is not None
    images = samples[0, 0].images
    maps = TeacherMapCache.open(
        Store(runtime.out),
        config.teacher,
        frames,
        augmentations=samples.augmentations,
        image_size_px=images[0].size_px,
        precision=config.precision,
        device=worker.device,
    )
    maps.announce(len(frames), len(images), prints=worker.rank == 0)
    return maps
