"""The metrics of a run: one JSON line a step, and a plot of them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from paceline.core.errors import ArtifactError


class StepMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """What one optimiser step did."""

    step: int
    """Zero-based."""
    num_tokens: int
    """Positions seen since the start of the run, this step included."""
    loss: float
    """Mean negative log-likelihood of the counted labels, nats."""
    grad_norm: float
    lr_share: float
    elapsed_s: float
    """Wall time of this step."""
    heldout_loss: float | None = None
    heldout_bits_per_byte: float | None = None


class MetricsLog:
    """Appends to `metrics.jsonl`; on resume, drops lines of steps that will be taken again."""

    def __init__(self, path: Path, *, first_step: int) -> None:
        kept = [m for m in read_metrics(path) if m.step < first_step] if path.exists() else []
        path.write_bytes(b"".join(msgspec.json.encode(m) + b"\n" for m in kept))
        self._file = path.open("ab", buffering=0)

    def write(self, metrics: StepMetrics) -> None:
        """Append one line; it is on its way to disk when this returns."""
        self._file.write(msgspec.json.encode(metrics) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_metrics(path: Path) -> list[StepMetrics]:
    """Read a metrics file; a last line cut by a crash is ignored.

    Raises:
        ArtifactError: a line before the last is damaged.
    """
    lines = path.read_bytes().split(b"\n")
    metrics: list[StepMetrics] = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            metrics.append(msgspec.json.decode(line, type=StepMetrics))
        except msgspec.MsgspecError as cause:
            if number == len(lines):
                break
            raise ArtifactError(f"{path}, line {number} is damaged ({cause}).") from cause
    return metrics


def plot_loss(metrics: list[StepMetrics], path: Path) -> None:
    """Draw training loss (raw and smoothed), held-out loss and learning rate over tokens."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    tokens = [m.num_tokens / 1e6 for m in metrics]
    figure, axes = plt.subplots(figsize=(8, 4.5))
    axes.plot(tokens, [m.loss for m in metrics], lw=0.6, alpha=0.4, color="tab:blue")
    axes.plot(tokens, _smooth([m.loss for m in metrics]), color="tab:blue", label="training")
    held = [m for m in metrics if m.heldout_loss is not None]
    if held:
        xs, ys = [m.num_tokens / 1e6 for m in held], [m.heldout_loss or 0.0 for m in held]
        axes.plot(xs, ys, "o-", color="tab:orange", label="held-out packages")
    axes.set(xlabel="million tokens", ylabel="loss (nats a token)")
    axes.legend(loc="upper center")
    axes.grid(alpha=0.3)
    rate = axes.twinx()
    rate.plot(tokens, [m.lr_share for m in metrics], color="gray", lw=0.8, ls=":")
    rate.set_ylabel("learning rate (share of peak)")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def _smooth(values: list[float], keep: float = 0.95) -> list[float]:
    smoothed: list[float] = []
    mean = 0.0
    for count, value in enumerate(values, start=1):
        mean = keep * mean + (1 - keep) * value
        smoothed.append(mean / (1 - keep**count))
    return smoothed
