"""Every method as a value: what it compares, how it draws and pools, and by which loss.

OLIVINE's own first, then those it is compared with (method.md §7).
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


def olivine_method() -> Method:
    """Pixel, class and vMF terms on weak labels (Zhang and Hou 2024).

    The official code averages the first two terms and adds the third, hence the weights. The
    class and vMF terms share a head of their own, decoupled from the pixel term's.
    """
    pixel = Term(loss=InfoNCE(), sample=Uniform(), weight=0.5)
    weak = Term(loss=SupCon(), sample=DensityCategory(), head="class", weight=0.5)
    compact = Term(loss=VMF(), head="class", weight=1.0)
    return Method(terms={"pixel": pixel, "class": weak, "compact": compact})


def olivine_v1_method() -> Method:
    """OLIVINE as its first preprint's code had it (method.md §4.4, C-v1).

    The bank learns at every step, also while its term is on; that term has weight 0.1 and averages
    over points; pixels without a label are one more class.
    """
    return olivine_method().override(
        {
            "ignored_as_class": True,
            "terms.compact.weight": 0.1,
            "terms.compact.loss.freeze": False,
            "terms.compact.loss.average": "point",
        }
    )


def olivine_next_method() -> Method:
    """OLIVINE with a vMF term that also tells classes apart; ours.

    The likelihood of a point's own class pulls it to that class's mean and never away from
    another. Here the term is the posterior: which class of the mixture of all classes' vMFs the
    point belongs to. The bank's means are unbiased and go on learning, so half the warm-up will do;
    concentrations are capped, so that the softmax over classes is never sharper than one of
    cosines at temperature 0.1. Pixels without a label take no part.
    """
    return olivine_method().override(
        {
            "terms.compact.weight": 2.0,
            "terms.compact.loss.form": "posterior",
            "terms.compact.loss.bias_correction": True,
            "terms.compact.loss.freeze": False,
            "terms.compact.loss.warmup_steps": 5000,
            "terms.compact.loss.max_concentration": 10.0,
        }
    )


def slidr_method() -> Method:
    """All pairs, averaged by superpixel (method.md §7.1)."""
    return Method(terms={"segment": Term(loss=InfoNCE(), pool=Segment())})


def st_slidr_method() -> Method:
    """SLidR's groups under a loss that knows which superpixels look alike (method.md §7.1)."""
    return Method(terms={"segment": Term(loss=SemanticTolerant(), pool=Segment())})


def seal_method() -> Method:
    """SLidR's term on a foundation model's segments, and two terms over time (method.md §7.1).

    From the paper: the three terms and that they are InfoNCE. Ours, because the training code was
    never released: equal weights, temperature 0.07 and one head for all of them, and what
    `poolings/cluster` and `clusterings/hdbscan` say of themselves.
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
    """Scan against scan with a momentum student and a queue (method.md §7.1)."""
    return Method(terms={"scan": Term(loss=QueueNCE(), match="scan")})


def scalr_method() -> Method:
    """Every point regresses to the teacher's own pixel, without negatives (method.md §7.1)."""
    return Method(terms={"pixel": Term(loss=Regression(), project_pixels=False)})
