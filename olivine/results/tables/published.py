"""Published numbers from `published.csv`, each with its source; none is in a mean of ours."""

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from olivine.results.tables.table import InPrint

DIFFERENCE = (
    "_difference"  # suffix of a metric of which only the difference "A over B" is published
)
PRETRAINING = (
    "pretraining"  # protocol of numbers that do not depend on an evaluation, such as hours
)


def published_tables() -> list[str]:
    """Return the tables with published numbers."""
    return sorted(_published()["table"].unique())


@functools.lru_cache(maxsize=16)
def in_print(table: str) -> dict[tuple[str, str, str], InPrint]:
    """Return the published numbers of a table by method, protocol and metric.

    Names of several tables are joined by ",". `how` is "printed", "derived" (from a published
    difference) or "secondary" (from a summary of the paper by others). The result is empty for an
    unknown table.
    """
    lines = _published()
    lines = lines[lines["table"].isin(table.split(","))]
    return {
        (line["row"], line["protocol"], line["metric"]): InPrint(
            line["value"], line["how"], line["source"]
        )
        for line in lines.to_dict("records")
    }


def difference_in_print(
    known: Mapping[tuple[str, str, str], InPrint], method: str, baseline: str, what: tuple[str, str]
) -> InPrint | None:
    """Return the published difference of two rows, of either sign.

    `known` is a table's `in_print`, `what` the protocol and the metric.
    """
    protocol, metric = what
    over, under = (
        known.get((f"{first} over {second}", protocol, f"{metric}{DIFFERENCE}"))
        for first, second in ((method, baseline), (baseline, method))
    )
    return over or (under and replace(under, value=-under.value))


def protocol_of(settings: Mapping[str, str]) -> str:
    """Return the published protocol of an experiment, or "" if it has none.

    The shares of labels are those of the published codes: one scene of nuScenes in `scene_step`,
    one scan of SemanticKITTI in `frame_step`.
    """
    kind = settings.get("train.kind", "nuscenes")
    if kind == "semantic_kitti" and settings.get("protocol") == "finetune":
        return f"semantic_kitti_{100 / float(settings.get('train.frame_step', 1)):g}"
    if kind != "nuscenes":
        return ""
    if settings.get("protocol") == "finetune":
        return f"finetune_{100 / float(settings.get('train.scene_step', 1)):g}"
    return settings.get("protocol", "")


def evaluation_called(protocol: str) -> str:
    """Return the column name of a protocol: "linear probe", "SemanticKITTI 1 %"."""
    kind, _, share = protocol.rpartition("_")
    data = _DATA_OF.get(kind)
    return protocol.replace("_", " ") if data is None else f"{data} {share} %".strip()


def protocol_called(evaluation: str) -> str:
    """Return the protocol of a column name of `evaluation_called`."""
    data, share = share_of(evaluation)
    kinds = {name: kind for kind, name in _DATA_OF.items()}
    return evaluation.replace(" ", "_") if share is None else f"{kinds.get(data, data)}_{share:g}"


def share_of(evaluation: str) -> tuple[str, float | None]:
    """Return the data set of an evaluation and the share of its labels in percent, if any."""
    data, _, share = evaluation.removesuffix(" %").rpartition(" ")
    return (data, float(share)) if evaluation.endswith(" %") else ("", None)


_DATA_OF = {"finetune": "", "semantic_kitti": "SemanticKITTI"}  # nuScenes is the default


@functools.lru_cache(maxsize=1)
def _published() -> pd.DataFrame:
    with Path(__file__).with_name("published.csv").open() as stream:
        return pd.read_csv(stream)
