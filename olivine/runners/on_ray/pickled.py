"""Values that Ray carries to a worker which may not have the code they are made of."""

import pickle
from dataclasses import dataclass
from typing import Any

import ray

from olivine.core.errors import UserError
from olivine.core.plugins.file_modules import error_sentence
from olivine.core.shipped_code import UserCode


@dataclass(frozen=True)
class PickledWithCode:
    """A pickled value and the code of other people's parts in it.

    Ray itself would unpickle before anybody could put the code there, or say what lacks.
    """

    data: bytes
    code: UserCode

    @classmethod
    def pack(cls, value: Any, code: UserCode) -> "PickledWithCode":
        """Return a value ready to travel."""
        return cls(ray.cloudpickle.dumps(value), code)

    def open(self) -> Any:
        """Return the value; raise UserError if its code is not here, or in another version."""
        self.code.install()
        try:
            return pickle.loads(self.data)
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"A worker cannot import what the job sent: {error_sentence(error)} Every node "
                "needs the packages of the machine that started the job."
            ) from None


def user_error_in(error: BaseException) -> UserError | None:
    """Return the user's mistake that an error of Ray was caused by, if it was by one.

    Ray Data adds lines of its own to a mistake's only one.
    """
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "cause", None)
        for one in (seen, cause):
            if isinstance(one, UserError) and not isinstance(one, ray.exceptions.RayError):
                return UserError(str(one).partition("\n")[0])
        seen = cause if isinstance(cause, BaseException) else seen.__cause__
    return None
