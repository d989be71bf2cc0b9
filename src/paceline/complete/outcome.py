"""What may become of a completion after it was shown. The names are those of the glossary."""

from __future__ import annotations

from typing import Literal

OutcomeKind = Literal[
    "shown", "accepted", "partially_accepted", "rejected", "ignored", "typed_through"
]
