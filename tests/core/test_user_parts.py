"""Whose mistake an exception is."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from olivine.core.errors import UserError
from olivine.core.parts import is_user_code
from olivine.core.user_parts import errors_of_user_code
from tests.support.plugins import forget, install

MINE = """
from olivine.core.hashing import value_hash
from olivine.methods.losses.base import Loss


class Mine(Loss):
    def build(self, num_channels, num_classes):
        raise KeyError("width")


def ask_the_library():
    value_hash(object())


def ask_python():
    return int("five")


def stop():
    raise SystemExit(3)


def run_out():
    raise MemoryError
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package whose part has been imported."""
    install(tmp_path, monkeypatch, "mine", {"__init__.py": MINE})
    import mine

    yield mine
    forget("mine")
    sys.modules.pop("mine", None)


def test_an_exception_is_the_users_if_the_users_code_raised_it_or_called_what_did(
    mine: ModuleType,
) -> None:
    for function, told in (
        (lambda: mine.Mine().build(1, 1), r"line 8 in build, fails: KeyError: 'width'\."),
        (mine.ask_python, r"line 16 in ask_python, fails: ValueError: invalid literal"),
    ):
        with pytest.raises(UserError, match=told) as raised, errors_of_user_code():
            function()
        assert raised.value.__cause__ is not None, "what a debugger needs is kept"


def test_what_the_library_raises_stays_even_below_a_users_code(mine: ModuleType) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"), errors_of_user_code():
        mine.ask_the_library()


def test_errors_of_the_machine_and_the_end_of_a_process_stay(mine: ModuleType) -> None:
    with pytest.raises(MemoryError), errors_of_user_code():
        mine.run_out()
    with pytest.raises(SystemExit), errors_of_user_code():
        mine.stop()


def test_a_users_code_is_that_which_lies_beside_a_users_part(mine: ModuleType) -> None:
    assert is_user_code("mine")
    assert is_user_code("mine.deeper")
    assert not is_user_code("minecraft")
    assert not is_user_code("olivine.core.parts")
