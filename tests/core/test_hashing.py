"""The bytes that are hashed are a promise: stores and caches are found by these names."""

import hashlib
import json

import pytest

from olivine.core.hashing import combined_hash, seeded, text_hash, value_hash


@pytest.mark.parametrize("num_digits", [8, 12, 16, 32])
def test_a_text_hash_is_the_beginning_of_its_sha256(num_digits: int) -> None:
    full = hashlib.sha256("Größe µ".encode()).hexdigest()
    assert text_hash("Größe µ", num_digits) == full[:num_digits]


def test_known_hashes_stay() -> None:
    # By `printf '...' | sha256sum`, so that no change of ours can move both sides.
    assert text_hash("") == "e3b0c44298fc"
    assert text_hash("abc") == "ba7816bf8f01"
    assert combined_hash("a", "b") == text_hash("a/b") == "c14cddc033f6"
    assert value_hash({}) == text_hash("{}") == "44136fa355b3"


def test_a_value_hash_does_not_depend_on_the_order_of_keys() -> None:
    one, other = {"a": 1, "b": [2, None]}, {"b": [2, None], "a": 1}
    assert value_hash(one) == value_hash(other) == text_hash(json.dumps(one))
    assert value_hash(one) != value_hash({"a": 1, "b": [None, 2]})


def test_the_order_of_fingerprints_matters() -> None:
    assert combined_hash("a", "b") != combined_hash("b", "a")


def test_seeds_fit_a_generator_and_differ_with_every_part() -> None:
    seeds = {seeded(*parts) for parts in [(0,), (1,), (0, "a"), ("a", 0), (0, 0)]}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
