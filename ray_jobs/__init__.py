"""The stages as Ray jobs: the only package that knows Ray."""
