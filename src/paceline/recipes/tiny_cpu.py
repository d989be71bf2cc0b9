"""`tiny-cpu`: the model that two CPU cores can train in about two hours."""

from __future__ import annotations

from paceline.model.config import ModelConfig
from paceline.train.config import ScheduleConfig, TrainConfig


def tiny_cpu() -> TrainConfig:
    """4.4 M block parameters + 2.1 M tied embedding; 1,024 tokens of context; 1,400 steps of 16,384 tokens.

    Heads are 128 wide because CPU attention is then more than twice as fast (shared facts, B3).
    """
    return TrainConfig(
        name="tiny-cpu",
        model=ModelConfig(
            vocab_size=8192,
            hidden_size=256,
            num_layers=6,
            num_heads=2,
            num_kv_heads=1,
            head_dim=128,
            ffn_size=704,
            context_tokens=1024,
        ),
        schedule=ScheduleConfig(total_steps=1400, decay_steps=750),
        num_threads=1,
        num_workers=2,
    )
