"""The figures of one engine: what was counted, and its Prometheus families. Counts and times only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from paceline.core.exposition import Family, Histogram, Labels, Sample
from paceline.engine.observe.figure_names import (
    COUNTERS,
    FINISH_REASONS,
    LANE_HISTOGRAMS,
    PHASES,
    STEP_S,
    STEP_TOKENS,
    VLLM_REASONS,
)
from paceline.engine.observe.stats import STEP_KINDS, StepStats, num_accepted_drafts
from paceline.engine.observe.work import Peaks, Precision, WorkTotals
from paceline.plan.flops import DecoderShape

Kind = Literal["counter", "gauge"]


class LaneFigures:
    """Histograms of the requests of one lane; figure_names.py says what each one measures."""

    first_token: Histogram
    token: Histogram
    mean_token: Histogram
    latency: Histogram
    queue: Histogram
    prefill: Histogram
    decode: Histogram
    inference: Histogram
    prompt_tokens: Histogram
    output_tokens: Histogram

    def __init__(self) -> None:
        for row in LANE_HISTOGRAMS:
            setattr(self, row.attribute, Histogram(row.bounds))


class Figures:
    """What an observer counts. Not locked: the observer is."""

    def __init__(
        self,
        shape: DecoderShape | None,
        precision: Precision,
        peaks: Peaks | None,
        *,
        num_blocks: int,
        block_bytes: int,
    ) -> None:
        self._shape, self._peaks = shape, peaks
        self._num_blocks, self._block_bytes = num_blocks, block_bytes
        self.prompt_tokens = self.generation_tokens = self.preemptions = 0
        self.cache_queries = self.cache_hits = 0
        self.drafts = self.draft_tokens = self.accepted_tokens = self.batch_lane_rows = 0
        self.finished = dict.fromkeys(FINISH_REASONS, 0)
        self.wasted = dict.fromkeys(FINISH_REASONS, 0)
        self.refused = {"overload": 0}
        self.lanes = {"interactive": LaneFigures()}
        self.step_tokens = Histogram(STEP_TOKENS)
        self.step_seconds = {kind: Histogram(STEP_S) for kind in STEP_KINDS}
        self.work = {kind: WorkTotals(shape, precision) for kind in STEP_KINDS}
        self.phase_seconds = dict.fromkeys(PHASES, 0.0)
        self.last_step: StepStats | None = None

    def add_step(self, stats: StepStats) -> None:
        """Count one step, apart from what it meant for each request."""
        kind = stats.kind
        self.step_seconds[kind].observe(stats.seconds)
        self.step_tokens.observe(self.work[kind].add(stats))
        phases = self.phase_seconds
        phases["plan"] += stats.plan_s
        phases["forward"] += stats.forward_s
        phases["pick"] += stats.pick_s
        phases["commit"] += stats.commit_s
        self.batch_lane_rows += stats.num_batch_lane_rows
        for entry in stats.entries:
            self.generation_tokens += entry[4]
            if entry[3]:
                self.drafts += 1
                self.draft_tokens += entry[3]
                self.accepted_tokens += num_accepted_drafts(entry)
        self.last_step = stats

    def families(self, model_name: str, *, num_waiting: int, num_running: int) -> list[Family]:
        """Everything, under the names of figure_names.py."""
        base: Labels = (("model_name", model_name),)
        return [
            _gauge("vllm:num_requests_running", "Sequences in steps.", base, num_running),
            _gauge("vllm:num_requests_waiting", "Sequences that wait.", base, num_waiting),
            *self._memory(base, is_idle=num_running == 0),
            *self._counters(base),
            *self._requests(base),
            *self._steps(base),
            *self._work(base),
        ]

    def _memory(self, base: Labels, *, is_idle: bool) -> list[Family]:
        """As of the last step; when nothing runs nothing is held, whatever that step said. Before the first
        step all is free."""
        last = self.last_step
        total = last.num_blocks if last else self._num_blocks
        used = last.used_blocks if last and not is_idle else 0
        cached = last.cached_blocks if last else 0
        blocks = {"used": used, "cached": cached, "free": max(total - used - cached, 0)}
        by_state = [(state, count * self._block_bytes) for state, count in blocks.items()]
        share = used / total if total else 0.0
        return [
            _gauge("vllm:kv_cache_usage_perc", "Share of blocks in use, 0 to 1.", base, share),
            _by("paceline_kv_bytes", "gauge", "Memory of the KV cache.", base, "state", by_state),
        ]

    def _counters(self, base: Labels) -> list[Family]:
        by_vllm = dict.fromkeys((*VLLM_REASONS, "abort"), 0)
        for reason, count in self.finished.items():
            by_vllm[VLLM_REASONS.get(reason, "abort")] += count
        labelled = (
            ("vllm:request_success_total", "Ended, vLLM's words.", "finished_reason", by_vllm),
            ("paceline_requests_finished_total", "Ended, our words.", "reason", self.finished),
            ("paceline_requests_refused_total", "Never queued.", "reason", self.refused),
            ("paceline_wasted_tokens_total", "Tokens shown to nobody.", "reason", self.wasted),
        )
        return [
            *(
                Family(row.name, "counter", row.help, [Sample(base, getattr(self, row.attribute))])
                for row in COUNTERS
            ),
            *(
                _by(name, "counter", text, base, label, counts.items())
                for name, text, label, counts in labelled
            ),
        ]

    def _requests(self, base: Labels) -> list[Family]:
        families: list[Family] = []
        for row in LANE_HISTOGRAMS:
            samples: list[Sample] = []
            for lane, figures in self.lanes.items():
                histogram: Histogram = getattr(figures, row.attribute)
                samples += histogram.samples((*base, ("lane", lane)))
            families.append(Family(row.name, "histogram", row.help, samples))
        return families

    def _steps(self, base: Labels) -> list[Family]:
        tokens = self.step_tokens.samples(base)
        seconds = [
            sample
            for kind, histogram in self.step_seconds.items()
            for sample in histogram.samples((*base, ("kind", kind)))
        ]
        phases = self.phase_seconds.items()
        name = "paceline_step_phase_seconds_total"
        return [
            Family("vllm:iteration_tokens_total", "histogram", "Rows of a step.", tokens),
            Family("paceline_step_seconds", "histogram", "Duration of a step.", seconds),
            _by(name, "counter", "Where the time of steps went.", base, "phase", phases),
        ]

    def _work(self, base: Labels) -> list[Family]:
        """What each kind of step did, and its share of the device's peaks where those are known."""

        def total(name: str, text: str, of: Callable[[WorkTotals], float]) -> Family:
            values = ((kind, of(work)) for kind, work in self.work.items())
            return _by(name, "counter", text, base, "kind", values)

        def mean(name: str, text: str, of: Callable[[WorkTotals], float]) -> Family:
            values = ((kind, of(work)) for kind, work in self.work.items() if work.seconds > 0)
            return _by(name, "gauge", f"{text}, mean so far.", base, "kind", values)

        families = [total("paceline_step_rows_total", "Rows computed.", lambda w: w.num_rows)]
        if self._shape is None:
            return families
        families += [
            total("paceline_step_flops_total", "Operations asked for.", lambda w: w.flops),
            total("paceline_step_bytes_total", "Bytes that had to be moved.", lambda w: w.bytes),
            mean("paceline_flops_per_second", "Achieved", lambda w: w.flops / w.seconds),
            mean("paceline_memory_bytes_per_second", "Achieved", lambda w: w.bytes / w.seconds),
        ]
        if (peaks := self._peaks) is not None:
            flops, moved, text = peaks.flops_per_s, peaks.bytes_per_s, "The device's best."
            families += [
                _gauge("paceline_peak_flops_per_second", text, base, flops),
                _gauge("paceline_peak_memory_bytes_per_second", text, base, moved),
                mean("paceline_mfu_ratio", "Share of peak", lambda w: w.utilisation(peaks).flops),
                mean(
                    "paceline_bandwidth_utilisation_ratio",
                    "Share of peak",
                    lambda w: w.utilisation(peaks).bandwidth,
                ),
            ]
        return families


def _gauge(name: str, text: str, labels: Labels, value: float) -> Family:
    return Family(name, "gauge", text, [Sample(labels, value)])


def _by(
    name: str,
    kind: Kind,
    text: str,
    base: Labels,
    label: str,
    values: Iterable[tuple[str, float]],
) -> Family:
    """A family with one sample for each value of one more label."""
    return Family(name, kind, text, [Sample((*base, (label, key)), value) for key, value in values])
