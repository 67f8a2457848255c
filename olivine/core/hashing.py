"""Fingerprints of texts and values, and seeds derived from their purpose."""

import hashlib
import json
from typing import Any


def text_hash(text: str, num_digits: int = 12) -> str:
    """Return the first hexadecimal digits of a text's SHA-256; the text is encoded as UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()[:num_digits]


def value_hash(value: Any) -> str:
    """Return 12 hexadecimal digits of a JSON value, whatever the order of a mapping's keys."""
    return text_hash(json.dumps(value, sort_keys=True))


def combined_hash(*fingerprints: str) -> str:
    """Return 12 hexadecimal digits of several fingerprints, whose order matters."""
    return text_hash("/".join(fingerprints))


def content_hash(*parts: bytes | memoryview) -> str:
    """Return 16 hexadecimal digits of bytes in memory, one part after the other."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part)
    return hashed.hexdigest()[:16]


def seeded(*parts: int | str) -> int:
    """Return a 63-bit seed that depends on all of its parts and on their order."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
