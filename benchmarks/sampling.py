"""Time of the sampler alone, per step: python benchmarks/sampling.py [--vocab 8192]. One thread.

"torch" is what the sampler did before: argmax and logsumexp in torch, exponential noise for every id
from a Mersenne twister seeded anew. Least of several rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from paceline.engine.params import SamplingParams
from paceline.engine.sampler import Draw, pick


def least_us(work: Callable[..., object], *args: object, rounds: int = 7, calls: int = 50) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            work(*args)
        best = min(best, (time.perf_counter() - start) / calls)
    return best * 1e6


def torch_greedy(logits_RV: Tensor) -> tuple[list[int], list[float]]:
    ids_R = logits_RV.argmax(dim=-1)
    logprob_R = logits_RV.gather(1, ids_R[:, None])[:, 0] - logits_RV.logsumexp(dim=-1)
    return ids_R.tolist(), logprob_R.tolist()


def torch_temperature(logits_RV: Tensor) -> tuple[list[int], list[float]]:
    ids, logprobs = torch_greedy(logits_RV)
    for row in range(len(ids)):
        generator = torch.Generator().manual_seed(row)
        noise_V = torch.empty(logits_RV.shape[1]).exponential_(generator=generator)
        ids[row] = int((logits_RV[row] / 0.8 - noise_V.clamp_min_(1e-30).log()).argmax())
    return ids, logprobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vocab", type=int, default=8192)
    vocab = parser.parse_args().vocab
    torch.set_num_threads(1)
    kinds = {
        "greedy": SamplingParams(max_tokens=512),
        "temperature": SamplingParams(max_tokens=512, temperature=0.8),
        "top_k=40": SamplingParams(max_tokens=512, temperature=0.8, top_k=40),
        "top_p=0.95": SamplingParams(max_tokens=512, temperature=0.8, top_p=0.95),
        "5 top logprobs": SamplingParams(max_tokens=512, num_top_logprobs=5),
    }
    print(f"vocabulary {vocab}; microseconds per step")
    for count in (1, 4, 8, 16):
        logits_RV = torch.randn(count, vocab) * 3
        cells = [f"torch greedy {least_us(torch_greedy, logits_RV):7.1f}"]
        cells.append(f"torch temperature {least_us(torch_temperature, logits_RV):7.1f}")
        for name, params in kinds.items():
            draws = [Draw(params, seed, [0] * 20) for seed in range(count)]
            cells.append(f"{name} {least_us(pick, draws, logits_RV):7.1f}")
        drafts = logits_RV.argmax(-1).tolist()[:-1]
        walk = [Draw(kinds["greedy"], 0, [0] * 20, drafts, (), count)]
        cells.append(f"{count - 1} drafts {least_us(pick, walk, logits_RV):7.1f}")
        print(f"{count:3} rows | " + " | ".join(cells))


if __name__ == "__main__":
    main()
