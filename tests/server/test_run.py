"""The listening socket."""

from __future__ import annotations

import socket

from paceline.server.run import bind


def test_listener_says_that_it_is_tcp() -> None:
    """Else asyncio leaves Nagle's algorithm on, and every reply on a kept connection takes 40 ms more."""
    with bind("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP
