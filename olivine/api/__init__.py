"""The functions for Python scripts and notebooks: the stages and their results.

Each function opens the store of runs, runs the stage where `runtime.launcher` says and returns its
result. `import olivine` offers all of them, and docs/python_api.md explains them.
"""
