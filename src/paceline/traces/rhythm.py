"""When keys are pressed: how fast a person types, and where they stop to think.

Two levels. A typist has a mean inter-key interval, drawn from the distribution over people; each
interval of theirs is log-normal around it. After a word they are slower, and after a line or a jump
they think. Mean and spread over people are measured; the shape is the usual good fit; the pauses are
our choice, since transcription studies have none.

Source: Dhakal, Feit, Kristensson, Oulasvirta 2018 (CHI), "Observations on Typing from 136 Million
Keystrokes": mean interval 238.7 ms, standard deviation over 168,000 people 111.6 ms, 6 % of keystrokes
correct an error. Shape: González, Calot, Ierache, Hasperué 2021 (Heliyon 7), log-normal an excellent
(if not the best) fit of free text.
"""

from __future__ import annotations

import math
import random

import msgspec

from paceline.core.errors import ConfigError


class RhythmConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How people type."""

    mean_interval_ms: float = 238.7
    """Of all people."""
    spread_of_typists_ms: float = 111.6
    """Standard deviation of the typists' own means; 0 makes all alike."""
    variation: float = 0.5
    """Standard deviation of one typist's intervals, as a share of their mean."""
    word_factor: float = 1.5
    """Intervals before the first character of a word are so much longer."""
    mean_line_pause_ms: float = 1200.0
    """Thinking after a newline."""
    mean_jump_pause_ms: float = 2500.0
    """Finding the next place."""

    def __post_init__(self) -> None:
        if self.mean_interval_ms <= 0 or self.word_factor <= 0:
            raise ConfigError("mean_interval_ms and word_factor must be above 0.")
        lengths = (self.spread_of_typists_ms, self.variation)
        pauses = (self.mean_line_pause_ms, self.mean_jump_pause_ms)
        if min(*lengths, *pauses) < 0:
            raise ConfigError("spreads, variation and pauses must not be negative.")


class Typist:
    """Intervals of one person."""

    def __init__(self, config: RhythmConfig, rng: random.Random) -> None:
        self._config, self._rng = config, rng
        share = config.spread_of_typists_ms / config.mean_interval_ms
        self.mean_interval_ms = draw_log_normal(rng, config.mean_interval_ms, share)

    def interval_ms(self, before: str, after: str) -> float:
        """Time between the keys of two characters; above 0."""
        mean_ms = self.mean_interval_ms
        if not is_of_word(before) and is_of_word(after):
            mean_ms *= self._config.word_factor
        return draw_log_normal(self._rng, mean_ms, self._config.variation)

    def line_pause_ms(self) -> float:
        """Time to think about the next line, on top of the interval."""
        return draw_log_normal(self._rng, self._config.mean_line_pause_ms, 1.0)

    def jump_pause_ms(self) -> float:
        """Time to find another place in the file, on top of the interval."""
        return draw_log_normal(self._rng, self._config.mean_jump_pause_ms, 1.0)


def draw_log_normal(rng: random.Random, mean: float, variation: float) -> float:
    """Draw from the log-normal distribution of this mean and standard deviation `variation * mean`."""
    if mean == 0:
        return 0.0
    variance = math.log1p(variation * variation)
    return rng.lognormvariate(math.log(mean) - variance / 2, math.sqrt(variance))


def is_of_word(character: str) -> bool:
    """Is it a part of names and numbers?"""
    return character.isalnum() or character == "_"
