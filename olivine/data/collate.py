"""Samples collated into one batch, in which indices are unique."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from olivine.data.batch import Batch, PairTable, Voxels
from olivine.data.geometry.voxelization import voxelize
from olivine.data.geometry.voxels import Voxelizer
from olivine.data.records import IGNORE, Sample

# From a frame's token, number of images and their hash to the cached maps of its images, or None.
ReadMaps = Callable[[str, int, str], Tensor | None]


@dataclass(frozen=True)
class Collate:
    """Collates samples into one batch; picklable, for loader processes."""

    voxelizer: Voxelizer
    every_point: bool = False  # points outside the voxels' range take the nearest voxel
    read_maps: ReadMaps | None = None  # images that have cached maps are not decoded

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Return the batch of some samples; pairs whose point lies in no voxel are left out."""
        voxels = self._voxels(samples)
        maps = [self._maps(sample) for sample in samples]
        classes = [s.class_ids for s in samples if s.class_ids is not None]
        segments = [s.segments for s in samples if s.segments is not None]
        batch = Batch(
            tokens=tuple(sample.token for sample in samples),
            voxels=voxels,
            images=_stacked(samples, [found is None for found in maps]),
            pairs=_pairs(samples, voxels),
            class_ids=torch.from_numpy(np.concatenate(classes)).long() if classes else None,
            segments=torch.from_numpy(np.concatenate(segments)) if segments else None,
            maps=_joined_maps(maps),
            num_images=tuple(len(sample.images) for sample in samples),
            has_maps=tuple(found is not None for found in maps),
            images_hashes=tuple(sample.images_hash for sample in samples),
        )
        return self._with_second_scans(batch, samples)

    def _with_second_scans(self, batch: Batch, samples: Sequence[Sample]) -> Batch:
        """Add each sample's second view or later scan, and what it shares with the first scan."""
        views = [s.view for s in samples if s.view is not None]
        if not views:
            return batch
        view = self._voxels(views)
        if samples[0].scan_index is not None:
            batch = replace(batch, view_pairs=_in_both(samples, batch.voxels, views, view))
        if samples[0].cluster_ids is not None:
            here, there = _clusters(samples, batch.voxels, views, view)
            batch = replace(batch, clusters=here, view_clusters=there)
        return replace(batch, view=view)

    def _maps(self, sample: Sample) -> Tensor | None:
        if self.read_maps is None:
            return None
        return self.read_maps(sample.token, len(sample.images), sample.images_hash)

    def _voxels(self, samples: Sequence[Sample]) -> Voxels:
        return voxelize(
            self.voxelizer,
            [sample.xyz_m for sample in samples],
            [sample.intensity for sample in samples],
            every_point=self.every_point,
        )


def _pairs(samples: Sequence[Sample], voxels: Voxels) -> PairTable:
    """Return the pairs of all samples whose point lies in a voxel."""
    first_point = _starts([len(sample.xyz_m) for sample in samples])
    first_image = _starts([len(sample.images) for sample in samples])
    point = np.concatenate(
        [s.pairs.point_index + n for s, n in zip(samples, first_point, strict=False)]
    )
    pixel = np.concatenate(
        [
            s.pairs.pixel_index + np.array([n, 0, 0])
            for s, n in zip(samples, first_image, strict=False)
        ]
    )
    range_m = np.concatenate([s.range_m[s.pairs.point_index] for s in samples])
    num_pairs = [len(s.pairs) for s in samples]
    pairs = PairTable(
        voxel_index=voxels.voxel_of_point[torch.from_numpy(point)],
        pixel_index=torch.from_numpy(pixel),
        class_ids=torch.from_numpy(np.concatenate([s.pair_class for s in samples])).long(),
        range_m=torch.from_numpy(range_m).float(),
        frame_index=torch.from_numpy(np.repeat(np.arange(len(samples)), num_pairs)),
    )
    return pairs.take(pairs.voxel_index >= 0)  # points outside the voxels' range


def _stacked(samples: Sequence[Sample], wanted: Sequence[bool]) -> Tensor:
    """Return uint8 (images, 3, rows, columns) of the wanted samples, all images of one size.

    In memory the channels are last, as in the images.
    """
    some = [s.images for s, is_wanted in zip(samples, wanted, strict=True) if is_wanted]
    arrays = [image.pixels() for images in some for image in images]
    if not arrays:
        sizes = [image.size_px for sample in samples for image in sample.images]
        arrays = [np.zeros((*(sizes[0] if sizes else (1, 1)), 3), np.uint8)]
        return torch.from_numpy(np.stack(arrays)[:0]).permute(0, 3, 1, 2)
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def _joined_maps(maps: Sequence[Tensor | None]) -> Tensor | None:
    found = [one for one in maps if one is not None]
    return torch.cat(found) if found else None


def _starts(lengths: Sequence[int]) -> np.ndarray:
    """Return the position of each sample's first item once all samples are joined."""
    return np.cumsum([0, *lengths])


def _in_both(
    samples: Sequence[Sample], voxels: Voxels, views: Sequence[Sample], view: Voxels
) -> PairTable:
    """Return pairs of voxels whose point is in both views of a scan (PointContrast's matches).

    A voxel of the first view appears once, by the point that it kept.
    """
    tables = []
    first = _starts([len(sample.xyz_m) for sample in samples])
    second = _starts([len(sample.xyz_m) for sample in views])
    kept = np.zeros(first[-1], dtype=bool)
    kept[voxels.kept_point.numpy()] = True
    for frame, (sample, other) in enumerate(zip(samples, views, strict=True)):
        assert sample.scan_index is not None
        assert other.scan_index is not None
        _, here, there = np.intersect1d(
            sample.scan_index, other.scan_index, assume_unique=True, return_indices=True
        )
        chosen = kept[first[frame] + here]
        point, again = torch.from_numpy(here[chosen]), torch.from_numpy(there[chosen])
        tables.append(
            PairTable(
                voxel_index=voxels.voxel_of_point[int(first[frame]) + point],
                pixel_index=None,
                class_ids=torch.full((len(point),), IGNORE),
                range_m=torch.from_numpy(sample.range_m)[point].float(),
                frame_index=torch.full((len(point),), frame),
                view_index=view.voxel_of_point[int(second[frame]) + again],
            )
        )
    joined = _joined(tables)
    assert joined.view_index is not None
    return joined.take((joined.voxel_index >= 0) & (joined.view_index >= 0))


def _joined(tables: Sequence[PairTable]) -> PairTable:
    columns = {
        name: torch.cat([vars(table)[name] for table in tables])
        for name, value in vars(tables[0]).items()
        if value is not None
    }
    return replace(tables[0], **columns)


def _clusters(
    samples: Sequence[Sample], voxels: Voxels, laters: Sequence[Sample], later_voxels: Voxels
) -> tuple[PairTable, PairTable]:
    """Return two tables of voxels whose superpoint is in both scans of their sample.

    The first is of the first scans, the second of the later ones. A voxel has the superpoint of the
    point that it kept. Superpoints are numbered over the batch, alike in both tables.
    """
    here, there = _kept_clusters(samples, voxels), _kept_clusters(laters, later_voxels)
    return _shown_by(here, there), _shown_by(there, here)


def _kept_clusters(samples: Sequence[Sample], voxels: Voxels) -> PairTable:
    """Return a row per voxel that has a superpoint."""
    cluster_ids = [sample.cluster_ids for sample in samples if sample.cluster_ids is not None]
    frame_of = np.repeat(np.arange(len(samples)), [len(ids) for ids in cluster_ids])
    point = voxels.kept_point.numpy()
    ids, frame = np.concatenate(cluster_ids)[point].astype(np.int64), frame_of[point]
    return PairTable(
        voxel_index=torch.arange(len(point)),
        pixel_index=None,
        class_ids=torch.full((len(point),), IGNORE),
        range_m=torch.from_numpy(np.concatenate([s.range_m for s in samples])[point]).float(),
        frame_index=torch.from_numpy(frame),
        cluster_ids=torch.from_numpy(ids + (frame << 32)),
    ).take(torch.from_numpy(ids >= 0))


def _shown_by(table: PairTable, other: PairTable) -> PairTable:
    assert table.cluster_ids is not None
    assert other.cluster_ids is not None
    return table.take(torch.isin(table.cluster_ids, other.cluster_ids))
