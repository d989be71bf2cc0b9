"""Serves an ASGI app from a thread of the test, so that the test can look inside while real clients ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from paceline.server.run import bind

START_TIMEOUT_S = 30.0


@contextmanager
def running_app(app: Callable[..., Any], *, port: int = 0) -> Iterator[str]:
    """Serve `app` on 127.0.0.1 and yield its address; leaving the block closes the port. 0 takes a free one."""
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with bind("127.0.0.1", port) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name="app under test")
        thread.start()
        try:
            deadline_s = time.monotonic() + START_TIMEOUT_S
            while not server.started:
                assert thread.is_alive(), "the app stopped by itself"
                assert time.monotonic() < deadline_s, "the app did not start"
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
