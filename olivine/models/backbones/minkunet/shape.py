"""The shape of a sparse U-Net."""

from pydantic import Field, PositiveInt, model_validator

from olivine.core.spec import Spec


class UNetShape(Spec):
    """Channels and residual blocks per stage, encoder first, then decoder.

    L levels take 2 L stages: L down, then L up to the input's voxels. The official code passes
    its momentum to all batch norms but those inside the residual blocks, which keep torch's
    0.1; give both settings one value to differ.
    """

    stem_channels: PositiveInt = Field(
        default=32, description="Channels behind the first convolution."
    )
    stem_size: int = Field(
        default=3,
        ge=3,
        le=9,
        multiple_of=1,
        description="Side of the first convolution's kernel (voxels); an odd number.",
    )
    planes: tuple[PositiveInt, ...] = Field(
        default=(32, 64, 128, 256, 256, 128, 96, 96),
        description="Channels of each stage, the encoder's stages first.",
    )
    blocks: tuple[PositiveInt, ...] = Field(
        default=(2, 3, 4, 6, 2, 2, 2, 2),
        description="Number of residual blocks of each stage, the encoder's stages first.",
    )
    bn_momentum: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="Momentum of the batch norms outside the residual blocks.",
    )
    bn_momentum_blocks: float = Field(
        default=0.1,
        gt=0,
        le=1,
        description="Momentum of the batch norms inside the residual blocks.",
    )

    @model_validator(mode="after")
    def _check_stages(self) -> "UNetShape":
        if len(self.planes) < 2 or len(self.planes) % 2:
            raise ValueError(
                "planes takes two numbers per level, the encoder's then the decoder's, "
                f"so 2, 4, 6 or 8 of them, not {len(self.planes)}"
            )
        if len(self.blocks) != len(self.planes):
            raise ValueError(
                f"blocks takes one number per stage like planes: {len(self.planes)}, "
                f"not {len(self.blocks)}"
            )
        if self.stem_size % 2 == 0:
            raise ValueError(f"stem_size is odd (3, 5, 7 or 9), not {self.stem_size}")
        return self
