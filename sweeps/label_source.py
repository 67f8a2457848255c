"""How much do the labels matter to OLIVINE: which labeller should be used?

Paper's table 12 (Zhang et al., NeurIPS 2024) compares foundation models as labellers; we know of no
source for its numbers. The paper's two versions differ by their labels, too: a linear probe of 47.3
mIoU with Grounded-SAM's 13 prompts (first preprint, whose bank was another too) and 50.09 with
SEEM's 16; 46.1 and 50.58 fine-tuned with 1 %. For the truth as labels (table 6a) the paper states
only a "significant improvement". Users could not make the released SEEM labels again with the
released generator (method.md §2.4), so they are imported.

"Grounded-SAM 13 prompts" and 16 are the recipe's labeller with the two published lists. The rows
"as published" have what the released codes did: masks painted as they are drawn, 0 of SEEM's maps
as barriers, unlabelled pixels as one more class. "embedded" is the demo's labeller, which knows
synthetic streets only: on photographs it shows the cost of bad labels. "truth" is an upper bound,
not a method.

Labels are made before, by `olivine label olivine`, with `--set pretrained.labels.vocabulary=
prompts16`, or `--set pretrained.labels.kind=lidarseg_truth` or `embedded`; by `olivine label
olivine_v1` and `olivine_seem`, the latter also with `--set pretrained.labels.zero=ignore`. Ask
about those you have by `--rows`; on the demo's world that is "embedded; truth".

Cost: 7 rows x 3 seeds, each one pretraining and one linear probe, beside the labelling. At the
paper's size a pretraining takes 36.5 hours on four RTX 3090; on the demo's synthetic data a trial
takes about a minute on one CPU.

Expected: embedded far below, then Grounded-SAM, SEEM, truth; 16 prompts above 13, as trailers,
construction vehicles and other ground then have a class.
"""

from olivine.experiments.sweep import Sweep
from olivine.labels.labellers.embedded import Embedded
from olivine.labels.labellers.grounded_sam import GroundedSam
from olivine.labels.labellers.imported import Imported
from olivine.labels.labellers.lidarseg_truth import LidarsegTruth

LABELS, UNLABELLED_AS_CLASS = "pretrained.labels", {"pretrained.method.ignored_as_class": True}
THIRTEEN = GroundedSam(segmenter="sam_hq_vit_h")
SEEM = Imported(source="OLIVINE release", generation="B")

SWEEP = Sweep(
    name="label_source",
    question=__doc__ or "",
    metric="miou",
    recipe="olivine",
    rows={
        "embedded": {LABELS: Embedded()},
        "Grounded-SAM 13 prompts": {LABELS: THIRTEEN},
        "Grounded-SAM 16 prompts": {LABELS: THIRTEEN.replace(vocabulary="prompts16")},
        "Grounded-SAM as published": {
            LABELS: THIRTEEN.replace(nms_iou=1.0, overlap="drawn"),
            **UNLABELLED_AS_CLASS,
        },
        "SEEM release": {LABELS: SEEM},
        "SEEM release as published": {
            LABELS: SEEM.replace(zero="barrier"),
            **UNLABELLED_AS_CLASS,
        },
        "truth": {LABELS: LidarsegTruth()},
    },
    seed_names=("seed", "pretrained.seed"),
)
