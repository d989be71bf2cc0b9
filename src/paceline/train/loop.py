"""The training loop: one page that says what a step is.

Weights are float32 masters, cast to the compute dtype at use (bf16: no loss scaling needed).
Everything that a step depends on is (weights, moments, step number, config, corpus), so a run that
was killed and resumed from a checkpoint gives the same losses as an unbroken one (test).
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from paceline.core.progress import Progress
from paceline.model.decoder import CausalLm
from paceline.train.checkpointing import save_state
from paceline.train.config import TrainConfig
from paceline.train.data import IGNORED, RowSource
from paceline.train.loss import head_cross_entropy
from paceline.train.metrics import MetricsLog, StepMetrics
from paceline.train.optimiser import Optimisers

Batch = tuple[Tensor, Tensor]


class Trainer:
    """Runs steps of one model on rows of one corpus."""

    def __init__(
        self, model: CausalLm, optimisers: Optimisers, rows: RowSource, config: TrainConfig
    ) -> None:
        self.model, self.optimisers, self.rows, self.config = model, optimisers, rows, config
        self.device = next(model.parameters()).device
        self.dtype = getattr(torch, config.compute_dtype)
        self.step = 0
        num_workers = config.num_workers if self.device.type == "cpu" else 1
        self._replicas = [model, *(share_weights(model) for _ in range(num_workers - 1))]
        self._pool = ThreadPoolExecutor(num_workers, initializer=self._set_threads)

    def state_dict(self) -> dict:
        """All that resume needs."""
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimisers": self.optimisers.state_dict(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Restore what `state_dict` returned."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.optimisers.load_state_dict(state["optimisers"])

    def batches(self, first_step: int) -> Iterator[list[Batch]]:
        """Yield the passes of each step from `first_step` on; the next step is made meanwhile."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            following = pool.submit(self._passes, first_step)
            for step in range(first_step, self.config.schedule.total_steps):
                current = following.result()
                following = pool.submit(self._passes, step + 1)
                yield current

    def _passes(self, step: int) -> list[Batch]:
        first, size = step * self.config.rows_per_step, self.config.rows_per_pass
        starts = range(first, first + self.config.rows_per_step, size)
        return [batch_tensors(self.rows, start, size) for start in starts]

    def train_step(self, passes: list[Batch]) -> StepMetrics:
        """Forward, backward, clip, update. Advances `step`."""
        started = time.perf_counter()
        share = self.config.schedule.share_at(self.step)
        self.optimisers.set_share(share)
        total = self._accumulate(passes)
        norm = torch.nn.utils.clip_grad_norm_(
            self.model.parameters(), self.config.optimiser.max_grad_norm
        )
        self.optimisers.step()
        self.step += 1
        return StepMetrics(
            step=self.step - 1,
            num_tokens=self.step * self.config.tokens_per_step,
            loss=total,
            grad_norm=float(norm),
            lr_share=share,
            elapsed_s=time.perf_counter() - started,
        )

    def _set_threads(self) -> None:
        if self.config.num_threads:
            torch.set_num_threads(self.config.num_threads)

    def _accumulate(self, passes: list[Batch]) -> float:
        """Gradients of the mean loss over all passes; returns that loss.

        Workers take every n-th pass on their own replica; the sum is taken in worker order, so the
        result does not depend on who was faster.
        """
        num_labels = sum(int((labels != IGNORED).sum()) for _, labels in passes)
        num_workers = len(self._replicas)

        def work(index: int) -> float:
            total = 0.0
            for ids, labels in passes[index::num_workers]:
                loss = self.loss_sum(ids, labels, self._replicas[index]) / num_labels
                loss.backward()
                total += loss.item()
            return total

        total = sum(self._pool.map(work, range(num_workers)))
        for replica in self._replicas[1:]:
            add_gradients(self.model, replica)
        return total

    def loss_sum(
        self, ids_BT: Tensor, labels_BT: Tensor, replica: CausalLm | None = None
    ) -> Tensor:
        """Summed negative log-likelihood of the counted labels, nats."""
        model = replica or self.model
        hidden = model(ids_BT.to(self.device), self.dtype)
        weight = model.model.embed_tokens.weight
        labels = labels_BT.to(self.device).flatten()
        return head_cross_entropy(hidden.flatten(0, 1), weight, labels)

    @torch.no_grad()
    def evaluate(self, batches: list[Batch]) -> float:
        """Mean loss in nats a label over fixed batches."""
        total = sum(float(self.loss_sum(ids, labels)) for ids, labels in batches)
        return total / sum(int((labels != IGNORED).sum()) for _, labels in batches)


def share_weights(model: CausalLm) -> CausalLm:
    """A replica that reads the same weights and has gradients of its own."""
    with torch.device("meta"):
        replica = CausalLm(model.config)
    for mine, theirs in zip(replica.modules(), model.modules(), strict=True):
        for name, parameter in theirs.named_parameters(recurse=False):
            setattr(mine, name, torch.nn.Parameter(parameter.data))
        for name, buffer in theirs.named_buffers(recurse=False):
            mine.register_buffer(name, buffer, persistent=False)
    return replica


def add_gradients(model: CausalLm, replica: CausalLm) -> None:
    """Move the gradients of a replica into those of `model`."""
    for mine, theirs in zip(model.parameters(), replica.parameters(), strict=True):
        if theirs.grad is not None:
            mine.grad = theirs.grad if mine.grad is None else mine.grad.add_(theirs.grad)
            theirs.grad = None


def batch_tensors(rows: RowSource, first_row: int, count: int) -> Batch:
    """Rows as tensors [B, T] of ids and labels."""
    ids, labels = rows.batch(first_row, count)
    return torch.from_numpy(ids), torch.from_numpy(labels)


def run(
    trainer: Trainer,
    folder: Path,
    *,
    heldout: list[Batch],
    heldout_bytes_per_label: float,
    progress: Progress,
) -> bool:
    """Train to the end of the schedule; False if a signal stopped it after a checkpoint."""
    config, total = trainer.config, trainer.config.schedule.total_steps
    log = MetricsLog(folder / "metrics.jsonl", first_step=trainer.step)
    stop = threading.Event()
    with (
        stop_on_signals(stop.set),
        progress.task(config.name, total=total, unit="steps", done=trainer.step) as task,
    ):
        for passes in trainer.batches(trainer.step):
            metrics = trainer.train_step(passes)
            if trainer.step % config.eval_every_steps == 0 or trainer.step == total:
                metrics = with_heldout(metrics, trainer.evaluate(heldout), heldout_bytes_per_label)
            log.write(metrics)
            task.advance(1, note=describe(metrics, config.tokens_per_step))
            is_last = trainer.step == total or stop.is_set()
            if is_last or trainer.step % config.checkpoint_every_steps == 0:
                save_state(folder, trainer.step, trainer.state_dict())
            if is_last:
                break
    log.close()
    return trainer.step >= total


def with_heldout(metrics: StepMetrics, loss: float, bytes_per_label: float) -> StepMetrics:
    """Add the held-out loss, also as bits a byte."""
    values = {f: getattr(metrics, f) for f in metrics.__struct_fields__}
    values["heldout_loss"] = loss
    values["heldout_bits_per_byte"] = loss / math.log(2) / bytes_per_label
    return StepMetrics(**values)


def describe(metrics: StepMetrics, tokens_per_step: int) -> str:
    """The note beside the progress bar."""
    held = "" if metrics.heldout_loss is None else f", held-out {metrics.heldout_loss:.3f}"
    rate = tokens_per_step / metrics.elapsed_s
    return f"loss {metrics.loss:.3f}{held}, {rate:,.0f} tokens/s"


class stop_on_signals:  # noqa: N801 (a context manager reads as a verb)
    """While open, the first SIGINT or SIGTERM calls `stop` instead of ending the process."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._old: dict[int, object] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            self._old[number] = signal.signal(number, lambda *_: self._stop())

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
