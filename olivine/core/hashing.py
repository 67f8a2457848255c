"""Fingerprints of texts, and seeds that follow from what they are for."""

import hashlib


def text_hash(text: str) -> str:
    """Return 12 hex digits of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def seeded(*parts: int | str) -> int:
    """Return a 63-bit seed that differs with any of its parts."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def identity(*parts: str) -> str:
    """Return 12 hex digits for a run made of these fingerprints."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:12]
