"""The contract of a sampler."""

import pickle

import torch
from torch import Tensor

from olivine.data.batch import PairTable
from olivine.methods.samplers.base import Sampler
from olivine.testing.rows import pair_table
from olivine.testing.settings import check_settings, devices, require

FEW, NUM_SEEDS = 64, 5


def check_sampler(sampler: Sampler) -> None:
    """Check the promises of a sampler.

    Its settings can be written and read again. It chooses rows of the table without repetition:
    `num_pairs`, or all if there are fewer. The choice depends on the generator's seed alone. It
    accepts an empty table, does not change the table, and works on a GPU.

    Raises AssertionError for a promise that is broken.
    """
    check_settings(sampler)
    few = sampler.override({"num_pairs": FEW})
    every = sampler.override({"num_pairs": 100_000})
    table = pair_table()
    before = {name: rows.clone() for name, rows in vars(table).items() if rows is not None}
    for one, wanted in ((few, FEW), (every, len(table)), (sampler, sampler.num_pairs)):
        chosen = _draw(one, table, 0)
        num = min(wanted, len(table))
        promise = f"it draws {len(chosen)} of {len(table)} pairs instead of {num}"
        require(len(chosen) == num, sampler, promise)
    require(len(_draw(few, pair_table(0), 0)) == 0, sampler, "it draws from an empty table")
    require(len(_draw(few, pair_table(1), 0)) == 1, sampler, "it leaves out the only pair")
    same = torch.equal(_draw(few, table, 3), _draw(few, table, 3))
    require(same, sampler, "the same seed draws other pairs")
    draws = {tuple(sorted(_draw(few, table, seed).tolist())) for seed in range(NUM_SEEDS)}
    require(len(draws) > 1, sampler, "every seed draws the same pairs")
    for name, rows in before.items():
        require(torch.equal(rows, getattr(table, name)), sampler, f"it changes {name} in place")
    for device in devices():
        moved = {name: rows.to(device) for name, rows in before.items()}
        _draw(few, PairTable(**{"pixel_index": None, **moved}), 0, device)


def _draw(
    sampler: Sampler, table: PairTable, seed: int, device: torch.device | str = "cpu"
) -> Tensor:
    """Return the rows of one draw, by a pickled copy of the sampler."""
    choose = pickle.loads(pickle.dumps(sampler)).build()
    chosen = choose(table, torch.Generator(device).manual_seed(seed))
    require(chosen.dtype == torch.long, sampler, f"its rows are {chosen.dtype}, not torch.int64")
    unique = len(chosen.unique())
    require(unique == len(chosen), sampler, f"it draws {len(chosen) - unique} pairs twice")
    outside = (chosen < 0) | (chosen >= len(table))
    require(not bool(outside.any()), sampler, "it draws rows that are not in the table")
    return chosen
