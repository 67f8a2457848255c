"""Fingerprints of texts and values, and seeds that follow from what they are for."""

import hashlib
import json
from typing import Any


def text_hash(text: str, num_digits: int = 12) -> str:
    """Return the first hexadecimal digits of a text's SHA-256; the text is encoded as UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()[:num_digits]


def value_hash(value: Any) -> str:
    """Return 12 hexadecimal digits of a JSON value; the order of a mapping's keys is no matter."""
    return text_hash(json.dumps(value, sort_keys=True))


def combined_hash(*fingerprints: str) -> str:
    """Return 12 hexadecimal digits of several fingerprints, whose order matters."""
    return text_hash("/".join(fingerprints))


def seeded(*parts: int | str) -> int:
    """Return a 63-bit seed that differs with any of its parts."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
