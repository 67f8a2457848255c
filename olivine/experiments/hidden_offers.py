"""Recipes and sweeps of installed packages whose names are ours.

Ours keep their names, so that no installed package changes what a command of the documentation
does; the package's one is reached by its location, package.module:NAME.
"""

from collections.abc import Collection
from typing import NamedTuple

from olivine.core.plugins.entry_points import Offer, offers


class HiddenOffer(NamedTuple):
    """A package's recipe or sweep, and the location that names it."""

    offer: Offer
    location: str

    @property
    def note(self) -> str:
        """The package, and why its name is not used."""
        return f"{self.offer.package}; {self.offer.name!r} is olivine's own"


def hidden_offers(group: str, ours: Collection[str], attribute: str = "") -> list[HiddenOffer]:
    """Return the entry points of a group that have a name of `ours`.

    `attribute` is what a module is expected to define, for an entry point that names no object.
    """
    return [
        HiddenOffer(offer, offer.value if ":" in offer.value else f"{offer.value}:{attribute}")
        for name, found in offers(group).items()
        if name in ours
        for offer in found
    ]
