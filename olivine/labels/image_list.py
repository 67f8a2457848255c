"""The images that the maps of a store were made of, in one file."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from olivine.core.checksums import read_cached, write_checked
from olivine.core.errors import UserError
from olivine.core.storage import Store
from olivine.labels.map_file import decode_map
from olivine.labels.records import recorded_size

NAME = "images.tsv"
_NUM_THREADS = 16  # that read maps whose images are not in the list


class ImageList:
    """A line per map: its name, and the record of its image (`image_record`).

    The maps have the records, too; the list spares a start from reading all of them.
    """

    def __init__(self, store: Store, folder: str):
        self._store, self._folder = store, folder

    def of(self, maps: Iterable[str]) -> dict[str, str]:
        """Return the record of each map by its name below the folder; "" of one without a record.

        Maps that are not in the list, because a job was killed before it wrote it, are read.
        """
        maps = list(maps)
        listed = self._listed()
        unlisted = [name for name in maps if name not in listed]
        with ThreadPoolExecutor(_NUM_THREADS) as pool:
            found = list(pool.map(self._record_in, unlisted))
        both = {**listed, **dict(zip(unlisted, found, strict=True))}
        return {name: both[name] for name in maps}

    def add(self, records: Mapping[str, str]) -> None:
        """Add or change the records of some maps."""
        listed = self._listed()
        merged = {**listed, **records}
        if merged == listed:
            return
        lines = (f"{name}\t{merged[name]}\n" for name in sorted(merged))
        write_checked(self._store, f"{self._folder}/{NAME}", "".join(lines).encode())

    def _listed(self) -> dict[str, str]:
        """Return the list; a damaged one is renamed, and the maps are read instead."""
        return read_cached(self._store, f"{self._folder}/{NAME}", _parse) or {}

    def _record_in(self, map_name: str) -> str:
        try:
            return decode_map(self._store.read(f"{self._folder}/{map_name}"), map_name)[1]
        except UserError:  # it is reported where the map is used
            return ""


def changed(record: str, num_bytes: int | None) -> bool:
    """Return whether an image of this size is another than the one that a map was made of.

    None is a missing image, and a record without a size says nothing: neither is a change.
    """
    size = recorded_size(record)
    return bool(size) and num_bytes is not None and size != num_bytes


def _parse(data: bytes) -> dict[str, str]:
    pairs = (line.split("\t") for line in data.decode().splitlines())
    return {name: record for name, record in pairs}  # noqa: C416, a wrong line raises ValueError
