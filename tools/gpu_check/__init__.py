"""Check on one GPU that CUDA computes what the CPU does, and measure how fast.

    python -m tools.gpu_check [PART …] [--device cuda] [--keyframe FOLDER …] [--out FILE] [--small]

It needs no Ray, no MLflow, no registry and no data set: it makes its own data, and takes real
keyframes by the folders that hold them. `docs/gpu.md` has the figures that were seen.
"""
