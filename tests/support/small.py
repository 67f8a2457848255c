"""Settings that make the demo's recipes small enough for a test."""

SMALL = {
    "pretrained.backbone.planes": [8, 16, 16, 8],
    "pretrained.backbone.stem_channels": 8,
    "pretrained.augmentations.crop_images.rows_px": 45,
    "pretrained.augmentations.crop_images.columns_px": 80,
    "pretrained.augmentations.crop_images.min_pairs": 4,
    "pretrained.num_channels": 16,
    "pretrained.batch_frames": 4,
    "pretrained.contrast_frames": 2,
    "pretrained.num_epochs": 4,
}
