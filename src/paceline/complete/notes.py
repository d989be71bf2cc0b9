"""What a trace keeps of snippets and candidates: numbers and reasons, and text only if it may."""

from __future__ import annotations

from paceline.complete.gate import GateDecision
from paceline.complete.gate_features import GateFeatures
from paceline.complete.generation import Progress
from paceline.complete.steps.types import Judged
from paceline.complete.trace import CandidateNote, SnippetNote
from paceline.core.types import Candidate
from paceline.prompt.context.types import ChosenContext


def snippet_notes(chosen: ChosenContext, *, has_code: bool) -> tuple[SnippetNote, ...]:
    """The snippets of a prompt, and those that did not enter it.

    Args:
        has_code: may the notes hold paths?
    """
    taken = (
        SnippetNote(
            origin=snippet.origin,
            num_chars=len(snippet.text),
            path=snippet.path if has_code else "",
        )
        for snippet in chosen.snippets
    )
    skipped = (
        SnippetNote(origin=item.origin, skipped=item.reason, path=item.path if has_code else "")
        for item in chosen.skipped
    )
    return (*taken, *skipped)


def candidate_note(
    progress: Progress,
    judged: Judged,
    opinion: GateDecision | None,
    *,
    features: GateFeatures | None,
    has_code: bool,
) -> CandidateNote:
    """One candidate's way.

    Args:
        features: what the gate saw.
        has_code: may the note hold text, and names in flags?
    """
    result = judged.result
    is_kept = isinstance(result, Candidate)
    flags = result.flags if is_kept else ()
    return CandidateNote(
        num_tokens=progress.num_tokens,
        num_chars_raw=len(progress.text),
        num_chars_confident=progress.confident_end,
        num_chars=len(result.text) if is_kept else 0,
        mean_logprob=progress.mean_logprob,
        finish_reason=progress.finish_reason,
        steps=judged.trail,
        drop_reason="" if is_kept else result.reason,
        flags=flags if has_code else tuple(sorted({flag.partition(":")[0] for flag in flags})),
        probability=opinion.probability if opinion else None,
        gate_reasons=opinion.reasons if opinion else (),
        features=features,
        raw_text=progress.text if has_code else "",
        text=result.text if is_kept and has_code else "",
    )
