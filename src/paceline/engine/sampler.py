"""From logits to ids. A draw depends on the row's logits, the seed and the index of the token alone:
never on the batch and never on what was drafted, so the same request gives the same text whoever
else is served and however well its drafts are guessed.

    row i of a draw follows output_ids + draft_ids[:i] and is drawn with token index len(output_ids)+i

                 output    draft_ids      drawn          kept
                 [a b]     [c  d  e]      c  x  ?  ?     [c x]    row 2 followed d, which is not x

Greedy is the smallest id among the largest logits. With a temperature the draw is Gumbel-max:
argmax(logits / temperature + Gumbel noise), which draws from the softmax (Gumbel 1954; Maddison et
al. 2014, arXiv:1411.0030). The noise of an id is a hash of (seed, token index, id), so only ids that
top_k, top_p and min_p leave need any.

On a CPU numpy reads the logits in place: its argmax took 1/13 of torch's time here
(benchmarks/sampling.py). On a GPU rows that are not plainly greedy are copied to the host.

Legend: R rows with logits, V vocabulary, C candidate ids.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from collections.abc import Sequence as Items
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from paceline.core.errors import InputError
from paceline.engine.params import FinishReason, SamplingParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ids = NDArray[np.int64]

_MASK = (1 << 64) - 1
_MIN_TEMPERATURE = 1e-30
"""Below it float32 would divide by zero; the draw is long since greedy."""


class Draw(NamedTuple):
    """What the rows with logits of one sequence are for."""

    params: SamplingParams
    seed: int
    output_ids: list[int]
    """Ids produced so far; for scored rows, the given ids before these rows."""
    draft_ids: Items[int] = ()
    """Guesses of the ids to come, whose rows are in this step."""
    target_ids: Items[int] = ()
    """Given ids to score, one per row; empty where ids are drawn."""
    num_logit_rows: int = 1
    """1 + len(draft_ids), or len(target_ids), or 0 where no logits were asked for."""


class Picked(NamedTuple):
    """An id that is drawn or scored."""

    token_id: int
    logprob: float
    """Natural logarithm, temperature 1, of the model alone; nan where finish is ERROR."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest ids and their log-probabilities, best first."""
    finish: FinishReason | None = None
    """Set on the last id of a sequence that ends here: STOP, LENGTH or ERROR."""
    error: Exception | None = None
    """With ERROR: what the guide or the stop callback raised; None if the logits are not finite."""


Likeliest = Callable[[Tensor], tuple[Tensor, Tensor]]
"""logits_RV to (ids_R, logprobs_R): the smallest id among the largest logits, and its log-probability."""


def likeliest_ids(logits_RV: Tensor) -> tuple[Tensor, Tensor]:
    """A Likeliest for any device."""
    if logits_RV.is_cpu:
        ids_R = torch.from_numpy(logits_RV.numpy().argmax(-1))
    else:
        ids_R = logits_RV.argmax(dim=-1)
    return ids_R, _logprobs(logits_RV, ids_R)


def _logprobs(logits_RV: Tensor, ids_R: Tensor) -> Tensor:
    return logits_RV.log_softmax(dim=-1).gather(1, ids_R[:, None])[:, 0]


class _Measured:
    """The work that is done once for all rows of a step."""

    def __init__(self, draws: Items[Draw], logits_RV: Tensor, likeliest: Likeliest) -> None:
        self._logits_RV = logits_RV
        best_R, logprob_R = likeliest(logits_RV)
        if any(draw.target_ids for draw in draws):
            row = 0
            for draw in draws:
                if draw.target_ids:
                    targets = torch.tensor(draw.target_ids).to(best_R.device)
                    best_R[row : row + len(draw.target_ids)] = targets
                row += draw.num_logit_rows
            logprob_R = _logprobs(logits_RV, best_R)
        self.ids: list[int] = best_R.tolist()
        """Of each row the likeliest id, or the target."""
        self.logprobs: list[float] = logprob_R.tolist()

    def logits_of(self, row: int) -> Floats:
        return self._logits_RV[row].cpu().numpy()

    def logprobs_of(self, row: int) -> Floats:
        return self._logits_RV[row].log_softmax(dim=-1).cpu().numpy()


def pick(
    draws: Items[Draw], logits_RV: Tensor, likeliest: Likeliest = likeliest_ids
) -> list[list[Picked]]:
    """Return what each draw keeps: 1 to num_logit_rows ids, or one entry for each scored row.

    The walk over the rows of a draw ends with the first id that its draft did not foresee, a stop id,
    the stop callback or max_tokens; that id is kept. Of a stop callback's and a guide's calls only
    those for ids that are kept matter. A scored row's log-probability is that among the ids which the
    guide allows, -inf for others. Non-finite logits, a guide or a callback that raises: the last entry
    of that draw has finish ERROR; no other draw notices.

    `likeliest` is the executor's own, where it fuses the two passes over the vocabulary.
    """
    if not logits_RV.shape[0]:
        return [[] for _ in draws]
    step = _Measured(draws, logits_RV, likeliest)
    picked: list[list[Picked]] = []
    row = 0
    for draw in draws:
        try:
            picked.append(_score(draw, step, row) if draw.target_ids else _walk(draw, step, row))
        except Exception as error:  # a caller's guide or callback; it must not end the others
            picked.append([Picked(0, math.nan, (), FinishReason.ERROR, error)])
        row += draw.num_logit_rows
    return picked


def count_accepted(draft_ids: Items[int], picked: Items[Picked]) -> int:
    """How many of the drafted ids are what the model drew."""
    count = 0
    for draft_id, (token_id, *_) in zip(draft_ids, picked, strict=False):
        if token_id != draft_id:
            break
        count += 1
    return count


def _walk(draw: Draw, step: _Measured, row: int) -> list[Picked]:
    """Draw row by row for as long as the drafts are right."""
    params, drafts = draw.params, draw.draft_ids
    is_plain = params.is_plain
    output_ids = list(draw.output_ids)
    picked: list[Picked] = []
    for offset in range(draw.num_logit_rows):
        token_id, logprob = step.ids[row], step.logprobs[row]
        if logprob != logprob:
            picked.append(Picked(token_id, math.nan, (), FinishReason.ERROR))
            break
        top: tuple[tuple[int, float], ...] = ()
        if not is_plain:
            chosen_id = _choose(draw, step, row, output_ids)
            if chosen_id is not None and chosen_id != token_id:
                token_id, logprob = chosen_id, float(step.logprobs_of(row)[chosen_id])
            top = _top(step, row, params.num_top_logprobs)
        output_ids.append(token_id)
        finish = _finish(params, output_ids)
        picked.append(Picked(token_id, logprob, top, finish))
        if finish is not None or offset >= len(drafts) or token_id != drafts[offset]:
            break
        row += 1
    return picked


def _finish(params: SamplingParams, output_ids: list[int]) -> FinishReason | None:
    """Whether the sequence ends with its last id."""
    if output_ids[-1] in params.stop_ids:
        return FinishReason.STOP
    if params.stop is not None and params.stop(output_ids):
        return FinishReason.STOP
    return FinishReason.LENGTH if len(output_ids) >= params.max_tokens else None


def _choose(draw: Draw, step: _Measured, row: int, output_ids: list[int]) -> int | None:
    """The id that follows output_ids; None where it is the likeliest of all."""
    params = draw.params
    allowed_C = _allowed(params, output_ids)
    if params.temperature == 0 and allowed_C is None:
        return None
    logits_V = step.logits_of(row)
    ids_C = _all_ids(len(logits_V)) if allowed_C is None else allowed_C
    scores_C = logits_V if allowed_C is None else logits_V[allowed_C]
    if params.temperature == 0:
        return int(ids_C[scores_C.argmax()])
    ids_C, scores_C = _truncate(params, ids_C, scores_C)
    return int(ids_C[(scores_C + gumbel_noise(ids_C, draw.seed, len(output_ids))).argmax()])


def _allowed(params: SamplingParams, output_ids: list[int]) -> Ids | None:
    """The ids that may come next, ascending; None allows all."""
    listed = None if params.guide is None else params.guide.allowed_ids(output_ids)
    first_ids = None if output_ids else params.first_ids
    if first_ids is not None:
        listed = list(first_ids if listed is None else first_ids.intersection(listed))
    if listed is None:
        return None
    allowed_C = np.unique(np.asarray(listed, dtype=np.int64))
    if not len(allowed_C):
        raise InputError(
            f"No id is allowed after {len(output_ids)} output ids; guide and first_ids must leave at least one."
        )
    if allowed_C[0] < 0:
        raise InputError(f"The guide allows id {allowed_C[0]}; ids are 0 or more.")
    return allowed_C


def _truncate(params: SamplingParams, ids_C: Ids, logits_C: Floats) -> tuple[Ids, Floats]:
    """Divide by the temperature and leave what top_k, top_p and min_p leave; the largest score is 0."""
    largest = logits_C.max()
    if largest == -math.inf:
        raise InputError("The model rules out every id that the guide allows; allow others.")
    with np.errstate(over="ignore"):
        scores_C = (logits_C - largest) / np.float32(max(params.temperature, _MIN_TEMPERATURE))
    if params.top_k is not None and params.top_k < len(ids_C):
        keep_C = scores_C >= np.partition(scores_C, -params.top_k)[-params.top_k]
        ids_C, scores_C = ids_C[keep_C], scores_C[keep_C]
    if params.top_p < 1:
        keep_C = _nucleus(scores_C, params.top_p)
        ids_C, scores_C = ids_C[keep_C], scores_C[keep_C]
    if params.min_p > 0:
        keep_C = scores_C >= math.log(params.min_p)
        ids_C, scores_C = ids_C[keep_C], scores_C[keep_C]
    return ids_C, scores_C


def _nucleus(scores_C: Floats, top_p: float) -> Ids:
    """Indices, ascending, of the fewest likeliest ids with probability top_p; smaller first on a tie.

    All ids below (1 - top_p) / C together have less than 1 - top_p, so the rest holds the nucleus and
    only the rest, a small part, is sorted. Source: Holtzman et al. 2020, arXiv:1904.09751.
    """
    mass_C = np.exp(scores_C)
    total = mass_C.sum(dtype=np.float64)
    likely_N = np.flatnonzero(mass_C >= (1 - top_p) * total / len(mass_C))
    order_N = likely_N[np.argsort(-mass_C[likely_N], kind="stable")]
    count = np.searchsorted(mass_C[order_N].cumsum(dtype=np.float64), top_p * total) + 1
    return np.sort(order_N[:count])


def _top(step: _Measured, row: int, count: int) -> tuple[tuple[int, float], ...]:
    """The `count` likeliest ids, smaller first on a tie, with their log-probabilities."""
    if not count:
        return ()
    logits_V = step.logits_of(row)
    count = min(count, len(logits_V))
    likely_C = np.flatnonzero(logits_V >= np.partition(logits_V, -count)[-count])
    ids = likely_C[np.argsort(-logits_V[likely_C], kind="stable")][:count]
    return tuple(zip(ids.tolist(), step.logprobs_of(row)[ids].tolist(), strict=True))


def _score(draw: Draw, step: _Measured, row: int) -> list[Picked]:
    """The given ids, with their log-probabilities among those that the guide allows."""
    given_ids = list(draw.output_ids)
    guide, picked = draw.params.guide, list[Picked]()
    for at, target_id in enumerate(draw.target_ids, row):
        logprob = step.logprobs[at]
        allowed_C = None if guide is None else _allowed(draw.params, given_ids)
        if allowed_C is not None:
            others = step.logprobs_of(at)[allowed_C]
            logprob -= float(np.logaddexp.reduce(others)) if target_id in allowed_C else math.inf
        finish = FinishReason.ERROR if logprob != logprob else None
        picked.append(
            Picked(target_id, logprob, _top(step, at, draw.params.num_top_logprobs), finish)
        )
        given_ids.append(target_id)
    return picked


def gumbel_noise(ids_C: Ids, seed: int, index: int) -> Floats:
    """Standard Gumbel noise of each id for token `index` of a sequence.

    Two rounds of a 32-bit hash, each with its own half of a 64-bit key of (seed, index); the upper 23
    bits make a uniform number, so that nothing above 16.6 is drawn. The hash is Ellis's lowbias32.
    """
    key = _mix(_mix(seed & _MASK) ^ index)
    hash_C = ids_C.astype(np.uint32)
    for half in (key & 0xFFFFFFFF, key >> 32):
        hash_C ^= np.uint32(half)
        hash_C *= np.uint32(0x9E3779B1)
        hash_C ^= hash_C >> np.uint32(16)
        hash_C *= np.uint32(0x7FEB352D)
        hash_C ^= hash_C >> np.uint32(15)
        hash_C *= np.uint32(0x846CA68B)
        hash_C ^= hash_C >> np.uint32(16)
    uniform_C = (hash_C >> np.uint32(9)).astype(np.float32)
    uniform_C += np.float32(0.5)
    uniform_C *= np.float32(2**-23)
    return -np.log(-np.log(uniform_C))


@functools.lru_cache(maxsize=16)
def _all_ids(size: int) -> Ids:
    return np.arange(size)


def _mix(x: int) -> int:
    """Spread nearby numbers over 64 bits. Source: splitmix64 (Steele et al. 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
