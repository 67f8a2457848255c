"""The parts, recipes and sweeps that installed packages offer by entry points.

A group is `olivine.<family>`, `olivine.recipes` or `olivine.sweeps`; a package lists its members in
its pyproject.toml. A member is imported on first use.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from olivine.core.errors import UserError
from olivine.core.plugins.file_modules import error_sentence
from olivine.core.streams import prints_to_stderr

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclass(frozen=True)
class Offer:
    """One entry point: its name, its object ("package.module:Name") and its package."""

    name: str
    value: str
    package: str  # name and version of the distribution

    def __str__(self) -> str:
        return f"{self.value} of {self.package}"


@cache
def offers(group: str) -> Mapping[str, tuple[Offer, ...]]:
    """Return the entry points of a group by name; repeated ones count once.

    Raises UserError for a package whose list cannot be read.
    """
    found: dict[str, dict[str, Offer]] = {}
    for point in _entry_points(group):
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "a package"
        offer = Offer(point.name, point.value, package)
        found.setdefault(point.name, {}).setdefault(point.value, offer)
    return {name: tuple(named.values()) for name, named in sorted(found.items())}


def _entry_points(group: str) -> Iterable["EntryPoint"]:
    """Return what any package offers in a group; this reads every installed package's list."""
    from importlib.metadata import distributions, entry_points

    try:
        return entry_points(group=group)
    except Exception as error:  # how it fails at a broken list depends on Python's version
        for package in distributions():
            try:
                list(package.entry_points)
            except Exception:
                raise UserError(
                    f"The entry points of the package {package.name} cannot be read: each line of "
                    "its entry_points.txt is [group] or name = package.module:Name. Mend it, or "
                    "uninstall the package."
                ) from None
        raise UserError(
            f"The entry points of the installed packages cannot be read: {error_sentence(error)}"
        ) from None


@cache
def offering_packages() -> frozenset[str]:
    """Return the top-level packages that offer anything in a group of ours."""
    from importlib.metadata import entry_points

    groups = [group for group in entry_points().groups if group.startswith("olivine.")]
    found = [offer for group in groups for named in offers(group).values() for offer in named]
    return frozenset(offer.value.partition(":")[0].partition(".")[0] for offer in found)


def offer_of(group: str, name: str, what: str) -> Offer | None:
    """Return the only entry point of a name, or None; raise UserError if there are two."""
    found = offers(group).get(name, ())
    if len(found) > 1:
        raise UserError(
            f"Two installed packages offer {what} called {name!r}, "
            f"{' and '.join(map(str, found))}: uninstall one, or name the right one as "
            "package.module:Name."
        )
    return found[0] if found else None


def names_in(group: str, ours: Mapping[str, Any], what: str) -> list[str]:
    """Return the names of a group; each must be of one package and none of `ours`.

    Raises UserError for a name that is used twice.
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
    """Import the object of an entry point.

    Raises UserError, naming the package and the reason, if that fails.
    """
    from importlib.metadata import EntryPoint

    if EntryPoint.pattern.match(offer.value) is None:
        raise UserError(
            f"{what} {offer.name!r} of {offer.package} cannot be imported: its entry point names "
            f"{offer.value!r}, which is not of the form package.module:Name."
        )
    try:
        with prints_to_stderr():
            return EntryPoint(offer.name, offer.value, "").load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a package may raise anything
        raise UserError(
            f"{what} {offer.name!r} ({offer}) cannot be imported: {error_sentence(error)}"
        ) from None
