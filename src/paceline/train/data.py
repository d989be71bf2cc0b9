"""Training rows: row `i` is a pure function of (corpus, tokenizer, config, seed, i).

So a run resumes exactly by its step number alone, rows can be made on any thread or rank, and no
state of a data loader has to be saved. Every epoch visits each window of the corpus once, in a new
order, with fresh middles.

A row is one or more whole samples. A sample is made by the prompt code that serves editors:
`sentinels + suffix + prefix` (SPM) or prefix first (PSM), then `middle <|endoftext|>`.

Legend: B rows, T positions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from paceline.core.errors import CorpusError
from paceline.prompt.fim import arrange, fim_ids, keep_end, share_budget
from paceline.tokenizer.bpe import Tokenizer
from paceline.train.config import DataConfig
from paceline.train.middles import choose_middle

IGNORED = -100
"""Label of positions that bear no loss: padding, and sentinels, which are never generated."""
CHARS_PER_TOKEN = 4.2
"""A little more than the measured 3.7, so that a window rarely falls short of its budget."""
MIN_WINDOW_CHARS = 64


class RowSource:
    """Makes training rows out of texts."""

    def __init__(
        self, texts: Sequence[str], tokenizer: Tokenizer, config: DataConfig, seed: int
    ) -> None:
        """Index `texts` into windows of about one row each.

        Raises:
            CorpusError: no text is long enough.
        """
        self._texts, self._tokenizer, self._config, self._seed = texts, tokenizer, config, seed
        self._ids = fim_ids(tokenizer)
        placed = (self._ids.prefix, self._ids.suffix, self._ids.middle)
        self._sentinels = [token_id for token_id in placed if token_id is not None]
        self._window_chars = int(config.row_tokens * CHARS_PER_TOKEN)
        windows = [
            (index, start)
            for index, text in enumerate(texts)
            for start in range(0, max(1, len(text) - MIN_WINDOW_CHARS), self._window_chars)
            if len(text) >= MIN_WINDOW_CHARS
        ]
        if not windows:
            raise CorpusError("The corpus has no text of 64 characters or more to train on.")
        self._windows = np.array(windows, dtype=np.int32)
        self._epoch, self._order = -1, np.empty(0, dtype=np.int64)

    @property
    def rows_per_epoch(self) -> int:
        """Rows after which every window has been first in a row once."""
        return len(self._windows)

    def row(self, index: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return (ids_T, labels_T) of row `index`; labels are already shifted by one."""
        rng = random.Random(f"{self._seed}/{index}")
        row_tokens = self._config.row_tokens
        ids: list[int] = []
        ends: list[int] = []
        window = self._window_at(index)
        while row_tokens + 1 - len(ids) >= 64:
            left = row_tokens + 1 - len(ids)
            budget = rng.randint(min(self._config.min_sample_tokens, left), left)
            if left - budget < self._config.min_sample_tokens:
                budget = left
            ids += self._sample(self._cut(window, budget, rng), budget, rng)
            ends.append(len(ids))
            window = self._windows[rng.randrange(len(self._windows))]
        return self._finish(ids, ends)

    def batch(self, first_row: int, count: int) -> tuple[npt.NDArray, npt.NDArray]:
        """Return (ids_BT, labels_BT) of rows `first_row` .. `first_row + count - 1`."""
        rows = [self.row(index) for index in range(first_row, first_row + count)]
        return np.stack([ids for ids, _ in rows]), np.stack([labels for _, labels in rows])

    def _window_at(self, index: int) -> npt.NDArray[np.int32]:
        epoch, position = divmod(index, len(self._windows))
        if epoch != self._epoch:
            shuffler = np.random.default_rng((self._seed, epoch))
            self._order, self._epoch = shuffler.permutation(len(self._windows)), epoch
        return self._windows[self._order[position]]

    def _cut(self, window: npt.NDArray[np.int32], budget: int, rng: random.Random) -> str:
        """A piece of the window that is long enough for `budget` tokens, from the start of a line."""
        text, start = self._texts[int(window[0])], int(window[1])
        num_chars = int(budget * CHARS_PER_TOKEN)
        slack = min(self._window_chars, len(text) - start) - num_chars
        if slack > 0:
            start += rng.randrange(slack + 1)
        start = text.rfind("\n", 0, start) + 1
        return text[start : start + num_chars]

    def _sample(self, text: str, budget: int, rng: random.Random) -> list[int]:
        if rng.random() < self._config.fim_share:
            lo, hi = choose_middle(text, rng, self._config)
            prefix, middle, suffix = self._tokenizer.encode_batch(
                [text[:lo], text[lo:hi], text[hi:]]
            )
            room = budget - len(middle) - 4
            if room >= 16:
                return self._fim_sample(prefix, middle, suffix, room, rng)
        return [*self._tokenizer.encode(text)[: budget - 1], self._ids.end]

    def _fim_sample(
        self,
        prefix: list[int],
        middle: list[int],
        suffix: list[int],
        room: int,
        rng: random.Random,
    ) -> list[int]:
        order = "spm" if rng.random() < self._config.spm_share else "psm"
        suffix_share = rng.random() * self._config.max_suffix_share
        num_prefix, num_suffix = share_budget(len(prefix), len(suffix), room, suffix_share)
        prompt = arrange(keep_end(prefix, num_prefix), suffix[:num_suffix], self._ids, order)
        return [*prompt, *middle, self._ids.end]

    def _finish(
        self, ids: list[int], ends: list[int]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        num_positions = self._config.row_tokens + 1
        padded = np.full(num_positions, self._ids.end, dtype=np.int64)
        padded[: len(ids)] = ids
        labels = padded.copy()
        labels[len(ids) :] = IGNORED
        labels[np.isin(labels, self._sentinels)] = IGNORED
        labels[[end for end in ends if end < num_positions]] = IGNORED
        return padded[:-1], labels[1:]
