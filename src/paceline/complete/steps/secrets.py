"""Text that must not be shown: secrets and addresses that the model remembers from somewhere else."""

from __future__ import annotations

from collections.abc import Iterable

from paceline.complete.lines import line_after, line_before
from paceline.complete.scene import Scene
from paceline.complete.steps.cut import cut
from paceline.complete.steps.statements import end_of_statements_before
from paceline.core.types import Candidate, Cursor, Drop
from paceline.hygiene.findings import Finding
from paceline.hygiene.personal import find_emails
from paceline.hygiene.secrets import find_secrets

NEAR_CHARS = 20_000
"""A value that stands this near to the cursor is the user's own, and may be written again."""

MAX_KEY_CHARS_BEFORE = 4_000
"""A private key's header is looked for this far above the cursor: a completion may go on with the key's body."""

MIN_KEPT_SHARE = 1 / 3
"""Of the answer up to the find so much must be left for a cut to be worth showing: what mostly leads to an address is of
no use without it."""


def drop_secrets(candidate: Candidate, scene: Scene) -> Candidate | Drop:
    """Cut before the statement that holds the first secret or address of a person, or drop the candidate.

    What stands around the cursor is read with it: `token = "` may be there already. A value that the document has
    near the cursor is no news to the user and may stay.
    """
    found = min(_findings(candidate, scene.cursor), default=None)
    if found is None:
        return candidate
    end = end_of_statements_before(candidate, scene, found.start)
    reason = "personal_data" if found.kind == "email" else "secret"
    if end < MIN_KEPT_SHARE * min(found.end, len(candidate.text)):
        return Drop(reason)
    return cut(candidate, end, if_empty=reason)


def _findings(candidate: Candidate, cursor: Cursor) -> Iterable[Finding]:
    """What is found in the candidate and is new here; offsets are in the candidate, and may be before it."""
    before = _text_before(cursor)
    joined = f"{before}{candidate.text}{line_after(cursor)[candidate.num_replaced_chars :]}"
    start, end = len(before), len(before) + len(candidate.text)
    near = ""
    for finding in (*find_secrets(joined), *find_emails(joined)):
        if start < finding.end and finding.start < end:
            near = near or _near(cursor)
            if joined[finding.start : finding.end] not in near:
                yield Finding(
                    start=finding.start - start, end=finding.end - start, kind=finding.kind
                )


def _text_before(cursor: Cursor) -> str:
    """The cursor's line up to it, or all from the header of a private key on that is not over yet."""
    text = cursor.document.text
    line = line_before(cursor)
    lowest = max(cursor.offset - MAX_KEY_CHARS_BEFORE, 0)
    header = text.rfind("-----BEGIN ", lowest, cursor.offset)
    if header < 0 or text.find("-----END ", header, cursor.offset) >= 0:
        return line
    return text[min(header, cursor.offset - len(line)) : cursor.offset]


def _near(cursor: Cursor) -> str:
    """The document around the cursor; a NUL marks the cursor, so that no value is made of what it parts."""
    text, at = cursor.document.text, cursor.offset
    return f"{text[max(at - NEAR_CHARS, 0) : at]}\0{text[at : at + NEAR_CHARS]}"
