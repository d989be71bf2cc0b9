"""Brains that are compared: the plain baseline, the whole, and the whole without one of its parts."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from paceline.complete.confidence import ConfidenceConfig
from paceline.complete.config import CompleteConfig, plain_config
from paceline.complete.postprocess import STEP_NAMES

BASELINE, BRAIN = "baseline", "brain"


class Variant(NamedTuple):
    """A name for the tables, and the config that it stands for."""

    name: str
    config: CompleteConfig


def baseline() -> Variant:
    """Ask on every key, show everything, stop at the newline."""
    return Variant(BASELINE, plain_config())


def brain(**changes: Any) -> Variant:
    """Everything as it is shipped; nothing is exempt from the gate, so that a replay repeats."""
    return Variant(BRAIN, replace(CompleteConfig(exempt_share=0.0), **changes))


PARTS: dict[str, dict[str, Any]] = {
    "mode inference": {"is_mode_inferred": False},
    "skips": {"is_skipping": False},
    "confidence": {"confidence": ConfidenceConfig(is_enabled=False)},
    "cache": {"is_cached": False},
    "prefetch": {"is_prefetching": False},
    "debounce": {"is_debounced": False},
    "gate": {"is_gated": False},
    "kept suffix": {"is_suffix_kept": False},
}
"""What switches each part off."""


def without(base: Variant) -> list[Variant]:
    """The whole brain but for one part, or one post-processing step, each."""
    context = base.config.context
    parts = [
        *(Variant(f"without {name}", replace(base.config, **off)) for name, off in PARTS.items()),
        Variant(
            "without context", replace(base.config, context=replace(context, is_enabled=False))
        ),
    ]
    steps = [
        Variant(f"without step {name}", replace(base.config, disabled_steps=frozenset({name})))
        for name in STEP_NAMES
    ]
    everything = Variant(
        "without any step but the end",
        replace(base.config, disabled_steps=plain_config().disabled_steps),
    )
    return [*parts, everything, *steps]


SINGLE_LINE_CAPS = (4, 8, 12, 16, 24, 32, 48, 64)
SEVERAL_LINES_CAPS = (24, 48, 96, 160, 256)


def capped(base: Variant) -> list[Variant]:
    """The whole brain with other limits on length: first of single lines, then of several."""
    config = base.config
    lines = [
        Variant(f"single line, {cap} tokens", replace(config, single_line_max_tokens=cap))
        for cap in SINGLE_LINE_CAPS
    ]
    blocks = [
        Variant(
            f"several lines, {cap} tokens",
            replace(config, block_body_max_tokens=cap, multi_line_max_tokens=cap),
        )
        for cap in SEVERAL_LINES_CAPS
    ]
    return [*lines, *blocks]
