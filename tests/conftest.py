"""Settings of every test: no deadline, because no test may depend on the machine's speed, and no file of
the user's own: what outlives a process goes into a folder of this run."""

import gc
import os
import tempfile

from hypothesis import HealthCheck, settings

settings.register_profile(
    "paceline", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("paceline")

_home = tempfile.TemporaryDirectory(prefix="paceline-tests-")  # removed when the process ends
os.environ["PACELINE_HOME"] = _home.name


def pytest_collection_finish() -> None:
    """What the imports have made stays anyway: the garbage collector need not look through it, app after app, and may
    look more rarely (a fifth of the time of tests/server, for 0.3 GB)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 20)
