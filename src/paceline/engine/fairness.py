"""Shares of users, so that one flood cannot starve others. No torch, no clock.

A counter per user of the rows computed for it; who has been served less goes first. Each lane has counters
of its own: what was computed while nobody else wanted to is held against no keystroke. A user that
arrives after a pause starts at the least counter of those at work, so that idling earns no credit.
Counters are compared in quanta: within one quantum deadlines decide.

Source: Sheng et al. 2024, "Fairness in Serving Large Language Models" (VTC, algorithm 2); we charge
prompt and output rows alike, because here they cost alike.
"""

from __future__ import annotations

from collections import Counter


class FairShare:
    """Served tokens of the users that have work in one lane."""

    def __init__(self, quantum_tokens: int) -> None:
        self._quantum_tokens = quantum_tokens
        self._served: dict[str, int] = {}
        self._num_sequences: Counter[str] = Counter()

    @property
    def num_users(self) -> int:
        """Users that have work."""
        return len(self._num_sequences)

    def arrive(self, user: str) -> None:
        """A sequence of `user` was queued."""
        if not self._num_sequences[user]:
            least = min(self._served.values(), default=0)
            self._served[user] = max(self._served.get(user, 0), least)
        self._num_sequences[user] += 1

    def leave(self, user: str) -> None:
        """A sequence of `user` ended. A user without work is forgotten."""
        self._num_sequences[user] -= 1
        if not self._num_sequences[user]:
            del self._num_sequences[user]
            del self._served[user]

    def charge(self, user: str, num_tokens: int) -> None:
        """`num_tokens` rows were computed for `user`."""
        self._served[user] += num_tokens

    def ranks(self) -> dict[str, int]:
        """For each user with work, how many quanta it is ahead of the least served; 0 goes first."""
        least = min(self._served.values(), default=0)
        return {user: (n - least) // self._quantum_tokens for user, n in self._served.items()}

    def check(self, users: Counter[str]) -> None:
        """Assert that the users are those of the queued and running sequences."""
        assert self._num_sequences == users, "a user is counted wrong"
        assert set(self._served) == set(users), "a share without a user"
