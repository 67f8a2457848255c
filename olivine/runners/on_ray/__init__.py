"""The stages as Ray jobs: the only package that knows Ray."""

import os
import sys

# Ray reads these once, when it is imported; its workers inherit them.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
if "ray" not in sys.modules:  # once imported it must not be told otherwise
    os.environ.setdefault("RAY_AUTH_MODE", "token")
# Ray's own processes warn on standard error of what is their business alone; their log files and
# the exceptions that reach us say what went wrong.
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
# Ray Train looks at its workers this often, and a worker that reports waits for the look: at the
# default of 2 s, an epoch of a small network would take longer to report than to train.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.3")
