"""The weights that come with the package, and their hash."""

import hashlib
from functools import cache
from pathlib import Path

from olivine.core.errors import UserError

WEIGHTS = Path(__file__).with_name("weights.npz")


@cache
def weights_hash() -> str:
    """Return the weights' SHA-256; raise UserError if the file is not there."""
    try:
        return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(
            f"Cannot read the embedded labeller's weights {WEIGHTS}: {error.strerror}; "
            "reinstall olivine."
        ) from None
