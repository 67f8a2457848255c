"""What a user's part does wrong, told as a user's mistake."""

import contextlib
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from olivine.core.errors import UserError
from olivine.core.parts import Part, is_user_code
from olivine.core.plugins.code_hash import is_ours
from olivine.core.plugins.file_modules import error_sentence, file_of_module

if TYPE_CHECKING:
    from torch import Tensor

ModuleT = TypeVar("ModuleT")


@contextlib.contextmanager
def run_by(part: Part) -> Iterator[None]:
    """Turn an exception of the code of a user's part into UserError that names the part.

    Our own parts keep their exceptions, since these are faults of the library. So do errors that
    no part is to blame for: a lack of memory, and with several workers those that torch raises for
    a lost worker, since a training goes on after them.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a user's part may raise anything
        if is_ours(type(part).__module__) or _may_be_of_the_machine(error):
            raise
        raise UserError(
            f"The code of {part.kind} fails: {error_sentence(error)} "
            f"{_check(part)} finds such mistakes before a run."
        ) from error


@contextlib.contextmanager
def errors_of_user_code() -> Iterator[None]:
    """Turn an exception of a user's code into `error_of_user_code`, and leave all others.

    It surrounds what runs in another process, which an exception would leave as a traceback.
    """
    try:
        yield
    except Exception as error:  # a user's code may raise anything
        if mistake := error_of_user_code(error):
            raise mistake from error
        raise


def error_of_user_code(error: Exception) -> UserError | None:
    """Return a UserError that names file, line and function, or None if no user's code is to blame.

    A user's code is if the innermost line that belongs to this library or to code that defines a
    user's part belongs to the latter. UserError and errors of the machine stay, as in `run_by`.
    """
    if isinstance(error, UserError):
        return None
    line = _line_of_user_code(error.__traceback__)
    if not line or _may_be_of_the_machine(error):
        return None
    return UserError(
        f"The code of {line} fails: {error_sentence(error)} The checks of olivine.testing find "
        "such mistakes before a run."
    )


def built_module(part: Part, built: ModuleT) -> ModuleT:
    """Return what a part built; raise UserError unless it is a torch.nn.Module."""
    from torch import nn

    if not isinstance(built, nn.Module):
        raise UserError(
            f"build of {part.kind} returned a value of type {type(built).__name__}, and it must "
            f"return a torch.nn.Module. {_check(part)} finds such mistakes before a run."
        )
    return built


def scalar(part: Part, value: "Tensor") -> "Tensor":
    """Return a loss's value; raise UserError unless it is one number in a tensor."""
    from torch import Tensor

    if isinstance(value, Tensor) and value.shape == ():
        return value
    shape = f" and shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
    raise UserError(
        f"{part.kind} returned a value of type {type(value).__name__}{shape}, and a loss must "
        f"return a tensor of one number, of shape (). {_check(part)} finds such mistakes before a "
        "run."
    )


def _line_of_user_code(tb: TracebackType | None) -> str:
    """Return the innermost line of a traceback if it is of a user's part, else an empty text."""
    for frame, line in reversed(list(traceback.walk_tb(tb))):
        module = frame.f_globals.get("__name__", "")
        if is_ours(module):
            return ""
        if is_user_code(module):
            in_tree = file_of_module(module)
            file = in_tree[1] if in_tree else frame.f_code.co_filename
            return f"{file}, line {line} in {frame.f_code.co_name},"
    return ""


def _check(part: Part) -> str:
    one = "loss" if part.family == "losses" else part.family.removesuffix("s")
    return f"olivine.testing.check_{one}"


def _may_be_of_the_machine(error: Exception) -> bool:
    import torch
    from torch import distributed

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    several = distributed.is_available() and distributed.is_initialized()
    return several and distributed.get_world_size() > 1 and isinstance(error, RuntimeError)
