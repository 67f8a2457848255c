"""Pickled values for Ray workers that may lack the user code of their classes."""

import pickle
from dataclasses import dataclass
from typing import Any

import ray

from olivine.core.errors import UserError
from olivine.core.plugins.file_modules import error_sentence
from olivine.core.shipped_code import UserCode


@dataclass(frozen=True)
class PickledWithCode:
    """A pickled value with the user code of its parts.

    Ray would unpickle an argument before the code could be installed on the worker, and before a
    missing package could be reported.
    """

    data: bytes
    code: UserCode

    @classmethod
    def pack(cls, value: Any, code: UserCode) -> "PickledWithCode":
        """Return the pickled value with its code."""
        return cls(ray.cloudpickle.dumps(value), code)

    def open(self) -> Any:
        """Install the code and return the value; raise UserError if a package is missing."""
        self.code.install()
        try:
            return pickle.loads(self.data)
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"A worker cannot import the code of the job: {error_sentence(error)} Every node "
                "needs the packages of the machine that started the job."
            ) from None


def user_error_in(error: BaseException) -> UserError | None:
    """Return the UserError that caused an error of Ray, or None.

    Only its first line is returned, because Ray Data appends lines of its own.
    """
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "cause", None)
        for one in (seen, cause):
            if isinstance(one, UserError) and not isinstance(one, ray.exceptions.RayError):
                return UserError(str(one).partition("\n")[0])
        seen = cause if isinstance(cause, BaseException) else seen.__cause__
    return None
