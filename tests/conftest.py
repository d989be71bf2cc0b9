"""Settings of every test: no deadline, because no test may depend on the machine's speed, and no file of
the user's own: what outlives a process goes into a folder of this run."""

import os
import tempfile

from hypothesis import HealthCheck, settings

settings.register_profile(
    "paceline", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("paceline")

_home = tempfile.TemporaryDirectory(prefix="paceline-tests-")  # removed when the process ends
os.environ["PACELINE_HOME"] = _home.name
