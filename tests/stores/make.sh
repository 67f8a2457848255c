#!/usr/bin/env bash
# Make the small store of a version that its successors must go on reading:
#   tests/stores/make.sh OLIVINE VERSION      (the command `olivine` of that version)
# A synthetic world of two keyframes a scene, weak labels, a sweep of two rows and two seeds, its
# table. Of the world what a start reads stays: tables, and each split's first scan. Everything is
# made below /srv, so that no path of the machine is in it. The result is VERSION.tar.xz beside
# this script; tests/stores/test_stores.py reads it.
set -euo pipefail
olivine=$1 version=$2
here=$(cd "$(dirname "$0")" && pwd)
root=/srv/olivine-$version
rm -rf "$root" && mkdir -p "$root" && cd "$root"
export OMP_NUM_THREADS=1

"$olivine" data synth nuscenes --set keyframes_per_scene=2 --set image_width_px=160 --set num_firings=60
settings=(
  --set runtime.data_root=nuscenes --set runtime.out=out --set runtime.cache_dir=cache
  --set runtime.device=cpu --set runtime.allow=fewer_pairs,absent_classes
  --set "pretrained.backbone.planes=[4,8,8,4]" --set pretrained.backbone.stem_channels=4
  --set pretrained.augmentations.crop_images.rows_px=45
  --set pretrained.augmentations.crop_images.columns_px=80
  --set pretrained.augmentations.crop_images.min_pairs=4
  --set pretrained.num_channels=8 --set pretrained.batch_frames=4
  --set pretrained.contrast_frames=2 --set pretrained.num_epochs=2
  --set num_epochs=2 --set batch_frames=4
)
"$olivine" label demo "${settings[@]}"
"$olivine" sweep components --recipe demo "${settings[@]}" --rows "random;OLIVINE" --seeds 0,1
"$olivine" evaluate demo "${settings[@]}" > evaluated.txt

# What only a training reads, and what is made again.
rm -rf nuscenes/samples/CAM_* nuscenes/maps out/sweeps out/tables/*/*.png out/*.png cache \
  out/artifacts/*/*/artifacts/table/*.png out/labels/*/pairs out/ray out/locks
python3 - <<'PYTHON'
import json
from pathlib import Path


def table(name):
    return json.loads(Path(f"nuscenes/v1.0-mini/{name}.json").read_text())


scenes = {"scene-0061", "scene-0103"}  # the first of mini_train and of mini_val
samples = {row["first_sample_token"] for row in table("scene") if row["name"] in scenes}
scans = {row["token"]: row["filename"] for row in table("sample_data")
         if row["sample_token"] in samples and "LIDAR_TOP" in row["filename"]}
labels = {row["filename"] for row in table("lidarseg") if row["sample_data_token"] in scans}
kept = {Path("nuscenes", name) for name in (*scans.values(), *labels)}
for path in [*Path("nuscenes/samples").rglob("*"), *Path("nuscenes/lidarseg").rglob("*")]:
    if path.is_file() and path not in kept:
        path.unlink()
PYTHON
# Not a path of the machine that made it.
code=$(grep -rhoE 'model_code_path: .*' out/artifacts | head -1 | cut -d' ' -f2)
[ -z "$code" ] || grep -rlF "$code" out/artifacts | xargs sed -i "s|$code|$root/code/$(basename "$code")|"
find out/labels -name '*.png' | sort | tail -n +7 | xargs -r rm -f
tar --sort=name --owner=0 --group=0 --numeric-owner -cJf "$here/$version.tar.xz" -C /srv "olivine-$version"
ls -la "$here/$version.tar.xz"
