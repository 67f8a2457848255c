"""Whether the label maps of a store are of the images that a data set has now.

A map of an image that was replaced is not used: a label job makes it again, and a pretraining
refuses it. The maps of a version before 0.3 do not say of which images they are; they are used only
after a person has said that the images are still the same (`olivine label --adopt`).
"""

from collections.abc import Mapping, Sequence

from olivine.core.errors import UserError
from olivine.core.progress import Progress
from olivine.core.runtime import Runtime
from olivine.data.dataset import Frames
from olivine.data.identity.split import identity_of
from olivine.labels.config import LabelConfig
from olivine.labels.image_list import changed
from olivine.labels.labeller import Labeller
from olivine.labels.records import image_record, recorded_size
from olivine.labels.store import LabelStore, label_map_name

ADOPTED = "adopted"  # instead of a hash: a person said that the image is the one of then


def parts_read(labeller: Labeller) -> tuple[str, ...]:
    """Return the parts of a data set that decide a labeller's maps."""
    return tuple(sorted({"images", *labeller.reads}))


def outdated_images(
    frames: Frames, names: Sequence[str], records: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """Return the images, of those that have a map, of which it is a map no longer.

    `records` has the record of each map's image. The values are the size in bytes of the image that
    the map was made of, and its size now. The result is empty where another process has looked at
    the images.
    """
    sizes = identity_of(frames).sizes("images")
    if sizes is None:
        return {}
    found = ((name, records[label_map_name(name)]) for name in names)
    return {
        name: (recorded_size(record), sizes[name])
        for name, record in found
        if changed(record, sizes.get(name))
    }


def require_current(store: LabelStore, frames: Frames) -> None:
    """Raise UserError if maps of a split were made of images that have changed since."""
    if identity_of(frames).sizes("images") is None:
        return
    listed = store.listing()[0]
    have = [name for name in frames.image_names() if label_map_name(name) in listed]
    records = store.images.of([label_map_name(name) for name in have])
    outdated = outdated_images(frames, have, records)
    if outdated:
        name, (then, now) = next(iter(outdated.items()))
        raise UserError(
            f"{len(outdated)} of the {len(have)} label maps in {store.path} were made of images "
            f"that have changed since; the first is of {name}, {then} bytes then and {now} now. "
            "Run `olivine label` with the same settings: it makes those maps again, and no others."
        )


def refuse_old_labels(
    store: LabelStore, frames: Frames, config: LabelConfig, runtime: Runtime
) -> None:
    """Raise UserError if labels of the same tables are there that do not know their images."""
    if store.is_begun and store.records_images:
        return
    old = LabelStore.before_0_3(runtime.out, frames, config.labeller)
    if not old.is_begun or old.records_images:
        return
    raise UserError(
        f"Labels of the same tables are in {old.path}, made by a version before 0.3, which did not "
        "record of which images they are, so they are not used unasked. If no image was replaced "
        "since, take them over by `olivine label --adopt`, which makes none; to make all of them "
        "again, use `olivine label --force`. Both with the same settings."
    )


def adopt_labels(store: LabelStore, frames: Frames, config: LabelConfig, runtime: Runtime) -> None:
    """Take over the maps that a version before 0.3 left, as maps of the images of now.

    The maps of other splits, which share the store, are taken over too; the sizes of their images
    are not known. The store counts as begun when all are there. Labels of this version stay as they
    are. Raises UserError if there are none of either.
    """
    if store.is_begun and store.records_images:
        return
    old = LabelStore.before_0_3(runtime.out, frames, config.labeller)
    if not old.is_begun or old.records_images:
        raise UserError(
            f"There are no labels of a version before 0.3 to take over in {old.path}: leave out "
            "--adopt."
        )
    finished, _ = old.listing()
    sizes = identity_of(frames).sizes("images") or {}
    if store.path != old.path:
        progress = Progress("Taking over maps", "maps")
        for number, map_name in enumerate(sorted(finished), 1):
            store.copy_from(old, map_name)
            progress(number, len(finished))
    records = dict.fromkeys(finished, image_record(0, ADOPTED))
    for name in frames.image_names():
        if label_map_name(name) in finished:
            records[label_map_name(name)] = image_record(sizes.get(name, 0), ADOPTED)
    store.images.add(records)
    store.begin(config.labeller)
