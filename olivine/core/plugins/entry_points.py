"""What installed packages offer by entry points: parts, recipes and sweeps.

A group is `olivine.<family>`, `olivine.recipes` or `olivine.sweeps`; a package lists its members in
its pyproject.toml. Nothing is imported before it is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from olivine.core.errors import UserError
from olivine.core.plugins.file_modules import error_sentence


@dataclass(frozen=True)
class Offer:
    """One entry point: what `value` ("package.module:Name") is called, and by whom."""

    name: str
    value: str
    package: str  # name and version of the distribution

    def __str__(self) -> str:
        return f"{self.value} of {self.package}"


@cache
def offers(group: str) -> Mapping[str, tuple[Offer, ...]]:
    """Return the entry points of a group by their name; one that is there twice counts once."""
    from importlib.metadata import entry_points  # reads every installed package's list

    found: dict[str, dict[str, Offer]] = {}
    for point in entry_points(group=group):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "a package"
        offer = Offer(point.name, point.value, package)
        found.setdefault(point.name, {}).setdefault(point.value, offer)
    return {name: tuple(named.values()) for name, named in sorted(found.items())}


def offer_of(group: str, name: str, what: str) -> Offer | None:
    """Return the only entry point of a name, or None; raise UserError if two have it."""
    found = offers(group).get(name, ())
    if len(found) > 1:
        raise UserError(
            f"Two installed packages offer {what} called {name!r}, "
            f"{' and '.join(map(str, found))}: uninstall one, or name the one that is meant by "
            "package.module:Name."
        )
    return found[0] if found else None


def names_in(group: str, ours: Mapping[str, Any], what: str) -> list[str]:
    """Return the names of a group, none of which may be one of ours or that of two packages.

    Raises UserError for two of one name.
    """
    for name, found in offers(group).items():
        if name in ours:
            raise UserError(
                f"{found[0]} is offered as {what} called {name!r}, and olivine has one of that "
                "name: give it another name in the package's entry points."
            )
        offer_of(group, name, what)
    return list(offers(group))


def load_offer(offer: Offer, what: str) -> Any:
    """Import what an entry point names.

    Raises UserError, naming the package and the reason, if that fails.
    """
    from importlib.metadata import EntryPoint

    try:
        return EntryPoint(offer.name, offer.value, "").load()
    except (Exception, SystemExit) as error:  # whatever a package may raise
        raise UserError(
            f"{what} {offer.name!r} ({offer}) cannot be imported: {error_sentence(error)}"
        ) from None
