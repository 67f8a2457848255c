"""Recipes from outside this library: of installed packages, modules and files.

A recipe is a function of no arguments that returns an `EvaluateConfig`. A package offers it by an
entry point of the group `olivine.recipes`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from olivine.core.errors import UserError, nearest
from olivine.core.plugins.entry_points import Offer, load_offer, offer_of, offers
from olivine.core.plugins.file_modules import error_sentence
from olivine.core.plugins.targets import names_a_file, parse_target
from olivine.core.spec import explain_invalid
from olivine.core.streams import prints_to_stderr
from olivine.experiments.hidden_offers import hidden_offers
from olivine.training.config import EvaluateConfig

GROUP, ONE_RECIPE = "olivine.recipes", "a recipe"


def offered_names(ours: Mapping[str, Any]) -> list[str]:
    """Return the names of the recipes that installed packages offer, without those of `ours`.

    Raises UserError if two packages offer one name.
    """
    names = [name for name in offers(GROUP) if name not in ours]
    for name in names:
        offer_of(GROUP, name, ONE_RECIPE)
    return names


def offered_recipes(ours: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield each recipe of a package: the text that names it, a note, and its function.

    The note names the package. In place of a function that cannot be had there is the reason. A
    recipe with a name of `ours` is named by its location.
    """
    own = [offer for name in offered_names(ours) for offer in offers(GROUP)[name]]
    found = [(offer.name, offer.package, offer) for offer in own]
    found += [(one.location, one.note, one.offer) for one in hidden_offers(GROUP, ours)]
    for name, note, offer in found:
        try:
            yield name, note, _loaded(offer)
        except UserError as error:
            yield name, note, str(error)


def plugin_recipe(name: str, ours: Mapping[str, Any]) -> EvaluateConfig:
    """Return a recipe by its entry point, or by its location.

    Raises UserError for a recipe that does not exist (`ours` are named too), that cannot be
    imported, that fails or that returns something else.
    """
    if target := parse_target(name):
        with prints_to_stderr():
            found = target.load(ONE_RECIPE)
        return _run(found, name)
    if offer := offer_of(GROUP, name, ONE_RECIPE):
        return _run(_loaded(offer), f"{name!r} ({offer})")
    if names_a_file(name):
        raise UserError(f"{name!r} names a file: name its function too, as {name}:my_recipe.")
    names = [*ours, *offers(GROUP)]
    raise UserError(
        f"No recipe {name!r}; there are {', '.join(names)}.{nearest(name, names)} One of your own "
        "is named as ./my_recipe.py:name."
    )


def _loaded(offer: Offer) -> Any:
    with prints_to_stderr():
        return load_offer(offer, "The recipe")


def _run(function: Any, shown: str) -> EvaluateConfig:
    """Return the result of a recipe's function; raise UserError if it fails."""
    wanted = "a function of no arguments that returns an EvaluateConfig"
    if not callable(function):
        raise UserError(
            f"The recipe {shown} is of type {type(function).__name__}; it must be {wanted}."
        )
    try:
        with prints_to_stderr():
            found = function()
    except UserError as error:
        raise UserError(f"The recipe {shown}: {error}") from None
    except ValidationError as error:
        raise UserError(f"The recipe {shown}: {explain_invalid(error)}") from None
    except (Exception, SystemExit) as error:  # a user's function may raise anything
        raise UserError(f"The recipe {shown} fails: {error_sentence(error)}") from None
    if not isinstance(found, EvaluateConfig):
        raise UserError(
            f"The recipe {shown} returned a value of type {type(found).__name__}; it must be "
            f"{wanted}."
        )
    return found
