"""What may become of a completion after it was shown. The names are those of the glossary."""

from __future__ import annotations

from typing import Literal, NamedTuple

OutcomeKind = Literal[
    "shown", "accepted", "partially_accepted", "rejected", "ignored", "typed_through"
]


class InferredOutcome(NamedTuple):
    """What the text of a later request told of a completion."""

    request_id: str
    kind: OutcomeKind
    num_chars: int
    """partially_accepted: so many characters of it, from its start."""
    owner: str
    """The user whose completion it was; empty: nobody in particular."""
