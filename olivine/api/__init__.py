"""What a Python script or a notebook asks of the library: the stages and what comes of them.

Each function opens the store of runs, decides where the stage runs (`runtime.launcher`) and returns
what the stage returns. `import olivine` offers all of them, and docs/python_api.md explains them.
"""
