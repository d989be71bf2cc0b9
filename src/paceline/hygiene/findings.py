"""What the finders of secrets and personal data return."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Something that should not be there, and where. Holds no text, so that it may be logged."""

    start: int
    end: int
    """Offsets in code points."""
    kind: str
