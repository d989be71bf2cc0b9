"""Training: the fused loss, exact resume after SIGKILL, and that it learns at all."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import torch

from paceline.artifacts.corpus import CorpusDocument, write_shards
from paceline.artifacts.manifest import Manifest, seal
from paceline.core.errors import CheckpointError, ConfigError
from paceline.core.progress import Progress
from paceline.model.checkpoint import load_model
from paceline.model.config import ModelConfig
from paceline.tokenizer.bpe import train_tokenizer
from paceline.train.checkpointing import latest_checkpoint, load_state, save_state
from paceline.train.config import DataConfig, OptimiserConfig, ScheduleConfig, TrainConfig
from paceline.train.data import IGNORED
from paceline.train.loss import head_cross_entropy
from paceline.train.metrics import read_metrics
from paceline.train.start import export_newest, train

TEXTS = [
    "\n".join(f"def f{i}_{j}(x):\n    return x * {j} + {i}" for j in range(60)) for i in range(8)
]
CONFIG = TrainConfig(
    name="test",
    model=ModelConfig(
        vocab_size=400,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
        ffn_size=64,
        context_tokens=128,
    ),
    data=DataConfig(row_tokens=128, min_sample_tokens=64),
    optimiser=OptimiserConfig(kind="adamw"),
    schedule=ScheduleConfig(warmup_steps=2, total_steps=12, decay_steps=4),
    rows_per_step=4,
    rows_per_pass=2,
    compute_dtype="float32",
    device="cpu",
    num_threads=1,
    checkpoint_every_steps=3,
    eval_every_steps=6,
    eval_rows=4,
)


@pytest.fixture
def inputs(tmp_path: Path) -> tuple[Path, Path]:
    corpus, tokenizer_path = tmp_path / "corpus", tmp_path / "tokenizer.json"
    corpus.mkdir()
    documents = [
        CorpusDocument(
            package="p",
            version="1",
            path=f"{i}.py",
            language="python",
            license="MIT",
            sha256="",
            text=text,
        )
        for i, text in enumerate(TEXTS)
    ]
    write_shards(corpus, "train", documents[:6], max_shard_bytes=10_000)
    write_shards(corpus, "heldout", documents[6:], max_shard_bytes=10_000)
    seal(corpus, Manifest(kind="corpus"))
    train_tokenizer(TEXTS, vocab_size=400).save(tokenizer_path)
    return corpus, tokenizer_path


def run_here(config: TrainConfig, inputs: tuple[Path, Path], folder: Path) -> list[float]:
    corpus, tokenizer_path = inputs
    train(config, corpus=corpus, tokenizer_path=tokenizer_path, folder=folder, progress=Progress())
    return [m.loss for m in read_metrics(folder / "metrics.jsonl")]


def test_fused_loss_equals_cross_entropy_with_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3000, 16, generator=generator, requires_grad=True)
    weight = torch.randn(50, 16, generator=generator, requires_grad=True)
    labels = torch.randint(0, 50, (3000,), generator=generator)
    labels[::7] = IGNORED
    expected = torch.nn.functional.cross_entropy(
        hidden @ weight.T, labels, ignore_index=IGNORED, reduction="sum"
    )
    wanted = torch.autograd.grad(expected * 0.5, (hidden, weight))
    loss = head_cross_entropy(hidden, weight, labels)
    got = torch.autograd.grad(loss * 0.5, (hidden, weight))
    torch.testing.assert_close(loss, expected)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_loss_falls(kind: str, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    if kind == "muon" and not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon")
    config = msgspec.structs.replace(
        CONFIG,
        optimiser=OptimiserConfig(kind="muon" if kind == "muon" else "adamw", adamw_lr=1e-2),
        schedule=ScheduleConfig(warmup_steps=2, total_steps=40, decay_steps=10),
        checkpoint_every_steps=40,
    )
    losses = run_here(config, inputs, tmp_path / kind)
    assert losses[-1] < 0.6 * losses[0]
    assert (tmp_path / kind / "model" / "model.safetensors").is_file()
    assert (tmp_path / kind / "loss.svg").is_file()


def test_bf16_step_is_close_to_float32(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    full = run_here(CONFIG, inputs, tmp_path / "full")
    half = run_here(
        msgspec.structs.replace(CONFIG, compute_dtype="bfloat16"), inputs, tmp_path / "half"
    )
    assert max(abs(a - b) for a, b in zip(full, half, strict=True)) < 0.05


def test_workers_compute_the_same_steps(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    alone = run_here(CONFIG, inputs, tmp_path / "alone")
    pair = msgspec.structs.replace(CONFIG, num_workers=2)
    together = run_here(pair, inputs, tmp_path / "together")
    assert max(abs(a - b) for a, b in zip(alone, together, strict=True)) < 1e-4
    assert run_here(pair, inputs, tmp_path / "again") == together


@pytest.mark.slow
def test_killed_run_resumes_with_the_same_losses(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    """SIGKILL at an arbitrary moment after the first checkpoint; then run the same command again."""
    whole = run_here(CONFIG, inputs, tmp_path / "whole")
    (tmp_path / "config.json").write_bytes(msgspec.json.encode(CONFIG))
    script = (
        "import sys, msgspec; from pathlib import Path\n"
        "from paceline.train.start import train; from paceline.train.config import TrainConfig\n"
        "from paceline.core.progress import Progress\n"
        "root = Path(sys.argv[1])\n"
        "config = msgspec.json.decode((root / 'config.json').read_bytes(), type=TrainConfig)\n"
        "train(config, corpus=root / 'corpus', tokenizer_path=root / 'tokenizer.json',\n"
        "      folder=root / 'broken', progress=Progress())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    checkpoints = tmp_path / "broken" / "checkpoints"
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not list(checkpoints.glob("step-*/manifest.json")):
        assert process.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "broken" / "model").exists()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    broken = [m.loss for m in read_metrics(tmp_path / "broken" / "metrics.jsonl")]
    assert broken == whole


def test_branch_decays_early_from_another_run(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    corpus, tokenizer_path = inputs
    run_here(CONFIG, inputs, tmp_path / "trunk")
    schedule = ScheduleConfig(warmup_steps=2, total_steps=16, decay_steps=4)
    folder = tmp_path / "branch"
    train(
        msgspec.structs.replace(CONFIG, schedule=schedule),
        corpus=corpus,
        tokenizer_path=tokenizer_path,
        folder=folder,
        branch_from=tmp_path / "trunk",
        progress=Progress(),
    )
    assert [m.step for m in read_metrics(folder / "metrics.jsonl")] == [12, 13, 14, 15]


def test_newest_checkpoint_can_be_exported(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        export_newest(tmp_path / "run", corpus=inputs[0])
    run_here(CONFIG, inputs, tmp_path / "run")
    finished = load_model(tmp_path / "run" / "model").state_dict()
    exported = load_model(export_newest(tmp_path / "run", corpus=inputs[0])).state_dict()
    assert all(torch.equal(finished[name], exported[name]) for name in finished)


def test_another_config_in_the_same_folder_is_refused(
    inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    run_here(CONFIG, inputs, tmp_path / "run")
    with pytest.raises(ConfigError, match="another configuration"):
        run_here(msgspec.structs.replace(CONFIG, seed=7), inputs, tmp_path / "run")


def test_damaged_checkpoint_is_named(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run_here(CONFIG, inputs, tmp_path / "run")
    newest = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[-1] / "state.pt"
    newest.write_bytes(newest.read_bytes()[:-10])
    longer = msgspec.structs.replace(
        CONFIG, schedule=ScheduleConfig(warmup_steps=2, total_steps=20, decay_steps=4)
    )
    with pytest.raises(CheckpointError, match=r"state\.pt.*truncated"):
        run_here(longer, inputs, tmp_path / "run")


def test_full_disk_loses_no_checkpoint(tmp_path: Path) -> None:
    """A limit on file sizes stands in for a full disk: writes come back short in the same way."""
    before = save_state(tmp_path, 1, {"x": torch.zeros(10)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(CheckpointError, match="could not be written"):
            save_state(tmp_path, 2, {"x": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert latest_checkpoint(tmp_path) == before
    assert load_state(before, torch.device("cpu"))["x"].shape == (10,)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == [before.name]


def test_schedule_is_warmup_stable_decay() -> None:
    schedule = ScheduleConfig(warmup_steps=4, total_steps=20, decay_steps=8, final_share=0.1)
    shares = [schedule.share_at(step) for step in range(20)]
    assert shares[:4] == [0.25, 0.5, 0.75, 1.0]
    assert shares[4:13] == [1.0] * 9
    assert shares[13:] == sorted(shares[13:], reverse=True)
    assert 0.1 < shares[-1] < 0.25
    with pytest.raises(ConfigError):
        ScheduleConfig(warmup_steps=10, total_steps=12, decay_steps=5)
