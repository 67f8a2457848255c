"""The contract of an augmentation."""

import pickle

import numpy as np

from olivine.data.augmentations.base import Augmentation
from olivine.data.records import Sample
from olivine.data.samples import scan_alone
from olivine.testing.frames import marked_sample
from olivine.testing.settings import check_settings, require

NUM_SEEDS = 8
MAX_SHADE = 12  # largest difference of red and green (levels) in an image that was resized
# Smallest share of pairs in their segment; at its border a pair may fall into the next one.
MIN_SAME_SEGMENT = 0.85


def check_augmentation(augmentation: Augmentation) -> None:
    """Check the promises of an augmentation.

    Its settings can be written and read again. The properties of a point stay with it: intensity,
    range before it was moved, class, row in the scan, superpoint. A pair still points at the same
    point and at the same spot of its image, with its class; segments move with the images. A scan
    without images is accepted. The result depends on the generator's seed alone, the given sample
    is not changed, some point is left, and `effect_on_images` states how images change.

    Raises AssertionError for a promise that is broken.
    """
    check_settings(augmentation)
    sample, before = marked_sample(), pickle.dumps(marked_sample())
    for seed in range(NUM_SEEDS):
        changed = _augmented(augmentation, sample, seed)
        require(pickle.dumps(sample) == before, augmentation, "it changes its sample in place")
        _check_points(augmentation, sample, changed)
        _check_pairs(augmentation, sample, changed)
        again = _augmented(augmentation, sample, seed)
        same = pickle.dumps(_plain(changed)) == pickle.dumps(_plain(again))
        require(same, augmentation, "the same seed gives another sample")
        alone = _augmented(augmentation, scan_alone(sample), seed)
        require(len(alone.images) == 0, augmentation, "a scan without images gets some")
        _check_points(augmentation, sample, alone)
    _check_images(augmentation, sample)


def _augmented(augmentation: Augmentation, sample: Sample, seed: int) -> Sample:
    return augmentation(sample, np.random.default_rng(seed))


def _plain(sample: Sample) -> dict[str, object]:
    """Return a sample's arrays, its images decoded."""
    return {**vars(sample), "images": [image.pixels() for image in sample.images]}


def _check_points(augmentation: Augmentation, before: Sample, after: Sample) -> None:
    num = len(after.xyz_m)
    require(num > 0, augmentation, "it leaves no point")
    finite = after.xyz_m.dtype == np.float32 and bool(np.isfinite(after.xyz_m).all())
    require(finite, augmentation, "points are not finite numbers in single precision")
    number = after.intensity.astype(int)  # a marked point's intensity is its number
    require(len(np.unique(number)) == num, augmentation, "a point occurs twice")
    for name in ("range_m", "class_ids", "scan_index", "cluster_ids"):
        old, new = getattr(before, name), getattr(after, name)
        kept = new is not None and len(new) == num and np.array_equal(old[number], new)
        require(kept, augmentation, f"{name} no longer belongs to its point")


def _check_pairs(augmentation: Augmentation, before: Sample, after: Sample) -> None:
    pairs, num = after.pairs, len(after.pairs)
    require(len(after.pair_class) == num, augmentation, "pairs and their classes differ in number")
    if not num:
        return
    camera, row, column = pairs.pixel_index.T
    inside = np.array([image.size_px for image in after.images])[camera]
    there = (pairs.pixel_index[:, 1:] >= 0).all() and (pairs.pixel_index[:, 1:] < inside).all()
    require(bool(there), augmentation, "a pair points outside its image")
    # A point has one pair, so its number identifies the pair before the augmentation.
    of_point = np.argsort(before.pairs.point_index)
    was = of_point[after.intensity[pairs.point_index].astype(int)]
    same = np.array_equal(before.pair_class[was], after.pair_class)
    require(same, augmentation, "a pair has another class than before")
    same = np.array_equal(before.pairs.pixel_index[was, 0], camera)
    require(same, augmentation, "a pair has moved to another camera")
    shown = np.stack([image.pixels() for image in after.images])[camera, row, column].astype(int)
    spot = before.pairs.pixel_index[was, 1:]
    off = np.abs(shown[:, :2] - spot * (4, 2)).max()
    require(off <= MAX_SHADE, augmentation, "a pair shows another spot of its image than before")
    if after.segments is not None:
        assert before.segments is not None
        old = before.segments[camera, spot[:, 0], spot[:, 1]]
        share = float((after.segments[camera, row, column] == old).mean())
        require(share >= MIN_SAME_SEGMENT, augmentation, "segments no longer lie on their images")


def _check_images(augmentation: Augmentation, sample: Sample) -> None:
    effect = augmentation.effect_on_images
    changed = [_augmented(augmentation, sample, seed) for seed in range(NUM_SEEDS)]
    shown = [[image.pixels() for image in one.images] for one in changed]
    if effect == "none":
        shown.append([image.pixels() for image in sample.images])
    if effect != "random":
        same = all(
            len(one) == len(shown[0]) and all(map(np.array_equal, one, shown[0])) for one in shown
        )
        require(same, augmentation, f"effect_on_images is {effect!r}, and images differ by chance")
