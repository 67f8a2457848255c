"""Every method as a value: what it compares, how it samples and pools, and by which loss.

OLIVINE's own methods come first, then those that it is compared with (method.md §7).
"""

from olivine.methods.losses.info_nce import InfoNCE
from olivine.methods.losses.queue_nce import QueueNCE
from olivine.methods.losses.regression import Regression
from olivine.methods.losses.semantic_tolerant import SemanticTolerant
from olivine.methods.losses.sup_con import SupCon
from olivine.methods.losses.vmf import VMF
from olivine.methods.method import Method, Term
from olivine.methods.poolings.cluster import Cluster
from olivine.methods.poolings.segment import Segment
from olivine.methods.samplers.density_category import DensityCategory
from olivine.methods.samplers.uniform import Uniform


def ppkt_method() -> Method:
    """Pixel against point (Liu et al. 2021), OLIVINE's baseline."""
    return Method(terms={"pixel": Term(loss=InfoNCE(), sample=Uniform())})


def olivine_method(*, ignored_as_class: bool = False) -> Method:
    """Pixel, class and vMF terms on weak labels (Zhang and Hou 2024).

    The official code averages the first two terms and adds the third, hence the weights. The
    class and vMF terms share a head of their own, decoupled from the pixel term's. The vMF bank
    is the official one, a mean of each contrast group. See `Method` for `ignored_as_class`.
    """
    return _olivine(VMF(bank="per_group"), 1.0, ignored_as_class=ignored_as_class)


def olivine_v1_method() -> Method:
    """OLIVINE as in the code of its first preprint (method.md §4.4, C-v1).

    The vMF bank learns at every step, also while its term is on; that term has weight 0.1 and
    averages over points; pixels without a label are one more class.
    """
    loss = VMF(bank="per_group", freeze=False, average="point")
    return _olivine(loss, 0.1, ignored_as_class=True)


def olivine_next_method() -> Method:
    """OLIVINE with a vMF term that also separates classes; a method of our own.

    The likelihood of a point's own class pulls the point to that class's mean and never away from
    another. Here the term is the posterior: which class of the mixture of all classes' vMF
    densities the point belongs to. The means are bias-corrected and go on learning, so half the
    warm-up is enough; concentrations are limited, so that the softmax over classes is never sharper
    than a softmax of cosines at temperature 0.1. Pixels without a label take no part.
    """
    posterior = VMF(
        form="posterior",
        bias_correction=True,
        freeze=False,
        warmup_steps=5000,
        max_concentration=10.0,
    )
    return _olivine(posterior, 2.0)


def _olivine(loss: VMF, weight: float, *, ignored_as_class: bool = False) -> Method:
    """Return OLIVINE's three terms; `loss` and `weight` are those of the vMF term."""
    terms = {
        "pixel": Term(loss=InfoNCE(), sample=Uniform(), weight=0.5),
        "class": Term(loss=SupCon(), sample=DensityCategory(), head="class", weight=0.5),
        "compact": Term(loss=loss, head="class", weight=weight),
    }
    return Method(terms=terms, ignored_as_class=ignored_as_class)


def slidr_method() -> Method:
    """All pairs, averaged by superpixel (method.md §7.1)."""
    return Method(terms={"segment": Term(loss=InfoNCE(), pool=Segment())})


def st_slidr_method() -> Method:
    """SLidR's groups under a loss that knows which superpixels are similar (method.md §7.1)."""
    return Method(terms={"segment": Term(loss=SemanticTolerant(), pool=Segment())})


def seal_method() -> Method:
    """SLidR's term on a foundation model's segments, and two terms over time (method.md §7.1).

    From the paper are the three terms and that they are InfoNCE. Ours, because the training code
    was never released, are equal weights, temperature 0.07, one head for all terms, and what the
    docstrings of `poolings/cluster` and `clusterings/hdbscan` name.
    """
    points = Term(loss=InfoNCE(), match="time", sample=Uniform(), pool=Cluster(queries="points"))
    return Method(
        terms={
            "segment": Term(loss=InfoNCE(), pool=Segment()),
            "temporal": Term(loss=InfoNCE(), match="time", pool=Cluster()),
            "point": points,
        }
    )


def pointcontrast_method() -> Method:
    """Point against point of two views (method.md §7.1)."""
    loss = InfoNCE(temperature=0.4)
    return Method(terms={"point": Term(loss=loss, match="view", sample=Uniform())})


def depthcontrast_method() -> Method:
    """Scan against scan with a momentum encoder and a queue (method.md §7.1)."""
    return Method(terms={"scan": Term(loss=QueueNCE(), match="scan")})


def scalr_method() -> Method:
    """Every point regresses to the teacher's own pixel, without negatives (method.md §7.1)."""
    return Method(terms={"pixel": Term(loss=Regression(), project_pixels=False)})
