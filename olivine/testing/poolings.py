"""The contract of a pooling."""

import torch
from torch import Tensor

from olivine.data.batch import PairTable
from olivine.methods.matched import Matched
from olivine.methods.poolings.base import Pooling
from olivine.testing.rows import Features, pair_table
from olivine.testing.settings import check_settings, require

NUM_PAIRS, HEAD = 200, "pixel"
LONGEST = 1 + 1e-5  # largest length of a mean of unit-length rows


def check_pooling(pooling: Pooling) -> None:
    """Check the promises of a pooling.

    Its settings can be written and read again. Each query has a key of its own, or one that it
    shares if `shares_keys` is set. Rows are means of unit-length features, and a query competes in
    the contrast group of its pairs. Gradients flow to the points, the teacher's features are
    returned on request, the order of the pairs does not matter, and an empty table gives no row.

    Raises AssertionError for a promise that is broken.
    """
    check_settings(pooling)
    pairs = pair_table(NUM_PAIRS, over_time=pooling.match == "time")
    features = Features(NUM_PAIRS)
    matched = _pool(pooling, features, pairs)
    require(len(matched.queries) > 0, pooling, "it makes no row of 200 pairs")
    matched.queries.sum().backward()
    gradient = features.rows.grad
    require(gradient is not None, pooling, "no gradient flows to the points")
    assert gradient is not None
    finite = bool(gradient.isfinite().all()) and bool(gradient.any())
    require(finite, pooling, "the gradient of the points is zero or not finite")
    order = torch.randperm(NUM_PAIRS, generator=torch.Generator().manual_seed(3))
    other = _pool(pooling, features, pairs.take(order))
    same = torch.allclose(_sorted(matched), _sorted(other), atol=1e-5)
    require(same, pooling, "another order of pairs gives other rows")
    nothing = pairs.take(torch.zeros(0, dtype=torch.long))
    require(
        len(_pool(pooling, features, nothing).queries) == 0,
        pooling,
        "it makes rows from an empty table",
    )
    if pooling.match == "pixel":
        asked = _pool(pooling, features, pairs, teacher_rows=True).teacher_rows
        there = asked is not None and len(asked) == len(matched.queries)
        require(there, pooling, "the teacher's features are not returned on request")
    require(
        matched.teacher_rows is None,
        pooling,
        "the teacher's features are returned without a request",
    )


def _pool(
    pooling: Pooling, features: Features, pairs: PairTable, teacher_rows: bool = False
) -> Matched:
    groups = pairs.frame_index // 2
    matched = pooling.build()(features, HEAD, pairs, groups, teacher_rows=teacher_rows)
    num = len(matched.queries)
    assert matched.keys is not None, "a pooling of no keys"
    for name in ("class_ids", "group_ids"):
        found = len(getattr(matched, name))
        require(found == num, pooling, f"it gives {found} {name} for {num} queries")
    if matched.key_of is None:
        require(len(matched.keys) == num, pooling, f"{len(matched.keys)} keys for {num} queries")
    else:
        require(pooling.shares_keys, pooling, "queries share keys, and shares_keys is not set")
        known = bool(((matched.key_of >= 0) & (matched.key_of < len(matched.keys))).all())
        require(known and len(matched.key_of) == num, pooling, "a query's key is missing")
    for name, rows in (("queries", matched.queries), ("keys", matched.keys)):
        short = bool(rows.isfinite().all()) and bool((rows.norm(dim=1) <= LONGEST).all())
        require(short, pooling, f"its {name} are not means of unit-length rows")
    there = bool(torch.isin(matched.group_ids, groups).all())
    require(there, pooling, "a query competes in a group without pairs")
    return matched


def _sorted(matched: Matched) -> Tensor:
    """Return each query beside its key, in an order that depends on the rows alone."""
    assert matched.keys is not None
    keys = matched.keys if matched.key_of is None else matched.keys[matched.key_of]
    rows = torch.cat([matched.queries, keys], dim=1).detach()
    line = torch.randn(rows.shape[1], generator=torch.Generator().manual_seed(5))
    return rows[(rows @ line).argsort()]
