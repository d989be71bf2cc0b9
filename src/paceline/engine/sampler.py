"""From logits to ids. A draw depends on the row's logits, the seed and the index of the token alone:
never on the batch, so the same request gives the same text whoever else is served.

Legend: R rows with logits, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence as Items

import torch
from torch import Tensor

from paceline.engine.scheduler import Chunk, Picked
from paceline.engine.sequence import Sequence

_MASK = (1 << 64) - 1


def pick(chunks: Items[Chunk], logits_RV: Tensor) -> list[list[Picked]]:
    """Return, for each chunk, the id and log-probability of each of its rows with logits.

    Greedy is the smallest id among the largest logits. With a temperature the draw is Gumbel-max:
    argmax(logits / temperature - log E), E ~ Exp(1). Log-probabilities are those at temperature 1.
    The id of a scored row is its target; with a guide its log-probability is that among allowed ids.
    """
    ids_R = logits_RV.argmax(dim=-1)
    row = 0
    for sequence, rows in chunks:
        count = rows.num_logit_rows
        if count and sequence.targets:
            first = rows.end - count - (len(sequence.token_ids) - len(sequence.targets))
            ids_R[row : row + count] = torch.tensor(sequence.targets[first : first + count]).to(
                ids_R.device
            )
        elif count and (sequence.params.temperature > 0 or sequence.params.guide is not None):
            ids_R[row] = _draw(sequence, logits_RV[row])
        row += count
    total_R = logits_RV.logsumexp(dim=-1)
    _narrow(chunks, logits_RV, total_R)
    logprob_R = logits_RV.gather(1, ids_R[:, None])[:, 0] - total_R
    picked = [Picked(*pair) for pair in zip(ids_R.tolist(), logprob_R.tolist(), strict=True)]
    ends = _running_ends(chunks)
    return [picked[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def _narrow(chunks: Items[Chunk], logits_RV: Tensor, total_R: Tensor) -> None:
    """Where a scored sequence has a guide, let its probabilities sum to 1 over the allowed ids."""
    row = 0
    for sequence, rows in chunks:
        guide, count = sequence.params.guide, rows.num_logit_rows
        if guide is not None and sequence.targets:
            first = rows.end - count - (len(sequence.token_ids) - len(sequence.targets))
            for index in range(count):
                allowed = guide.allowed_ids(sequence.targets[: first + index])
                if allowed is not None:
                    total_R[row + index] = logits_RV[row + index, allowed].logsumexp(dim=-1)
        row += count


def _draw(sequence: Sequence, logits_V: Tensor) -> Tensor:
    """The next id of a sequence that is not plainly greedy."""
    allowed = sequence.allowed_ids()
    if allowed is not None:
        index = torch.tensor(allowed, device=logits_V.device)
        logits_V = torch.full_like(logits_V, -torch.inf).index_copy(0, index, logits_V[index])
    if sequence.params.temperature > 0:
        noise_V = exponential_noise(len(logits_V), sequence.seed, sequence.num_output_tokens)
        logits_V = logits_V / sequence.params.temperature - noise_V.log().to(logits_V.device)
    return logits_V.argmax()


def _running_ends(chunks: Items[Chunk]) -> list[int]:
    ends: list[int] = []
    total = 0
    for chunk in chunks:
        total += chunk.rows.num_logit_rows
        ends.append(total)
    return ends


def exponential_noise(size: int, seed: int, index: int) -> Tensor:
    """`size` draws of Exp(1) for token `index` of a sequence; made on the CPU on every device."""
    generator = torch.Generator().manual_seed(_mix(_mix(seed & _MASK) ^ index) >> 1)
    return torch.empty(size).exponential_(generator=generator).clamp_min_(1e-30)


def _mix(x: int) -> int:
    """Spread nearby numbers over 64 bits. Source: splitmix64 (Steele et al. 2014)."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)
