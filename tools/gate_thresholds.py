"""What each threshold of the gate is worth: the tune half of replay-python, typed once for each. About three minutes."""

from __future__ import annotations

from pathlib import Path

from paceline.cli.wiring import open_generator
from paceline.core.progress import Progress
from paceline.evals.replay.drive import Windows
from paceline.evals.replay.run import Replayer
from paceline.evals.replay.sources import recipe_traces
from paceline.evals.replay.tally import figures_of
from paceline.evals.replay.variants import brain
from paceline.recipes.replay_python import replay_python
from paceline.traces.user import UserConfig

progress = Progress(every_s=600)
traces = recipe_traces(
    replay_python(), "tune", Path("runs/downloads"), max_traces=5, seed=0, progress=progress
)
with open_generator(None) as generator:
    replayer = Replayer(generator, UserConfig(), windows=Windows(max_keys=250))
    for threshold in (0, 0.05, 0.1, 0.15, 0.2, 0.3):
        figures = figures_of(replayer.run(brain(show_threshold=threshold), traces, progress).total)
        print(
            f"{threshold:.2f}  characters {figures.kept_chars_per_opportunity:.3f}  "
            f"kept {figures.kept_share:.3f}  shown {figures.num_shown}  "
            f"net {figures.net_ms_per_opportunity:.1f} ms",
            flush=True,
        )
