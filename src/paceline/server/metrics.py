"""`GET /metrics`: the generator's figures and the process' own, for Prometheus."""

from __future__ import annotations

import os
import time
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from paceline.core.exposition import CONTENT_TYPE, Family, Sample, render
from paceline.generate.observe import Observed
from paceline.generate.types import TextGenerator
from paceline.server.errors import ErrorBody

STATM = Path("/proc/self/statm")


def create_metrics_router(generator: TextGenerator) -> APIRouter:
    """Return the route `/metrics`; it is 404 for a generator that counts nothing."""
    router = APIRouter(tags=["server"], responses={"4XX": {"model": ErrorBody}})

    def read_metrics() -> Response:
        """Figures for Prometheus, in its text format. Counts and times only, no text and no user."""
        if not isinstance(generator, Observed):
            raise HTTPException(404, "This generator keeps no figures; serve a local model.")
        return Response(
            generator.metrics_text() + render(process_families()), media_type=CONTENT_TYPE
        )

    router.add_api_route("/metrics", read_metrics, response_class=Response)
    return router


def process_families() -> list[Family]:
    """CPU time and, where the system tells it (Linux), memory, under the names that Prometheus' own
    clients use."""
    cpu = Sample((), time.process_time())
    families = [
        Family("process_cpu_seconds_total", "counter", "CPU time, all threads.", [cpu]),
    ]
    resident = resident_bytes()
    if resident is not None:
        memory = Sample((), resident)
        families.append(
            Family("process_resident_memory_bytes", "gauge", "Memory in RAM.", [memory])
        )
    return families


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM, or None where it cannot be read."""
    try:
        pages = STATM.read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
