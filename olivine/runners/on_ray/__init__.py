"""The stages as Ray jobs, in the only package that imports Ray."""

import os
import sys

# Ray reads these once, when it is imported; its workers inherit them.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
if "ray" not in sys.modules:  # once Ray is imported they have no effect
    os.environ.setdefault("RAY_AUTH_MODE", "token")
# Ray's own processes write warnings to standard error that do not concern a user; their log files
# and the exceptions that reach us name real errors.
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
# Ray Train polls its workers at this interval, and a worker that reports waits for the poll: with
# the default of 2 s, an epoch of a small network would take longer to report than to train.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.3")
# Workers stay in the working directory of the command or job, where a relative path means what it
# meant there; Ray Train and Tune would give each one another.
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
