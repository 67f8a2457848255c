"""A small frozen image network of fixed filters, which stands in for a pretrained one."""

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from olivine.models.teachers.base import Teacher

if TYPE_CHECKING:
    import torch


class FilterBankTeacher(Teacher):
    """A frozen network of fixed and random filters, without weights from a file."""

    kind: ClassVar[str] = "filter_bank"

    width: int = Field(
        default=96,
        ge=1,
        description="Number of random units, which are the channels of its features.",
    )

    @property
    def num_channels(self) -> int:
        """Channels of the features."""
        return self.width

    def map_size(self, rows_px: int, columns_px: int) -> tuple[int, int]:
        """Return a fourth of each side."""
        return rows_px // 4, columns_px // 4

    def build(self, device: "torch.device | None" = None) -> "torch.nn.Module":
        """Return the frozen network."""
        from olivine.models.teachers.filter_bank.network import FilterBank

        return FilterBank(self.width)
