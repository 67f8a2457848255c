"""Features for tests of terms: each test gives what its term asks for, the rest is an error."""

from torch import Tensor

from olivine.data.batch import PairTable


class FeatureRows:
    def points(self, head: str, pairs: PairTable) -> Tensor:
        raise AssertionError("no point was to be asked for")

    def pixels(self, head: str, pairs: PairTable) -> Tensor:
        raise AssertionError("no pixel was to be asked for")

    def views(self, head: str, pairs: PairTable) -> Tensor:
        raise AssertionError("no second view was to be asked for")

    def later_points(self, head: str) -> tuple[Tensor, Tensor]:
        raise AssertionError("no later scan was to be asked for")

    def scans(self, head: str) -> Tensor:
        raise AssertionError("no scan was to be asked for")

    def scan_keys(self, head: str) -> Tensor:
        raise AssertionError("no scan was to be asked for")

    def teacher_rows(self, pairs: PairTable) -> Tensor:
        raise AssertionError("the teacher was not to be asked")

    def segments(self, pairs: PairTable) -> Tensor:
        raise AssertionError("no segment was to be asked for")

    def segment_pixels(
        self, head: str, segments: Tensor, teacher_rows: bool
    ) -> tuple[Tensor, Tensor | None]:
        raise AssertionError("no segment was to be asked for")
