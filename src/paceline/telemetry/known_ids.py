"""Which events there are already, in bounded memory."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable

from paceline.artifacts.events import EventOrigin


def key_of(event_id: str, *, user_id: str, origin: EventOrigin) -> bytes:
    """Sixteen bytes for one event. Two users' events are never the same one, nor are a client's and ours."""
    named = f"{origin}\0{event_id}\0{user_id}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(named, digest_size=16).digest()


class KnownIds:
    """The newest `max_ids` keys: about 130 bytes each."""

    def __init__(self, max_ids: int) -> None:
        self._max_ids = max_ids
        self._keys: set[bytes] = set()
        self._order: deque[bytes] = deque()

    def __contains__(self, key: bytes) -> bool:
        """Is it known (still)?"""
        return key in self._keys

    def __len__(self) -> int:
        """How many are known."""
        return len(self._keys)

    def add_all(self, keys: Iterable[bytes]) -> None:
        """Remember keys, oldest first; the oldest of all give way."""
        for key in keys:
            if key not in self._keys:
                self._keys.add(key)
                self._order.append(key)
        while len(self._order) > self._max_ids:
            self._keys.remove(self._order.popleft())
