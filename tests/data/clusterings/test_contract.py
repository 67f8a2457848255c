"""Every clustering keeps the promises that `olivine.testing` asks of anybody's."""

from olivine.data.clusterings.base import Clustering
from olivine.data.clusterings.hdbscan import Hdbscan
from olivine.testing import check_clustering


def test_hdbscan_keeps_its_promises() -> None:
    check_clustering(Hdbscan())
    assert set(Clustering.built_in) == {"hdbscan"}
