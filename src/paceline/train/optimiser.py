"""Optimisers for a CausalLm: which parameter goes where, and one learning-rate knob for all."""

from __future__ import annotations

import torch
from torch import nn

from paceline.core.errors import ConfigError
from paceline.train.config import OptimiserConfig


class Optimisers:
    """Several torch optimisers that step together."""

    def __init__(self, optimisers: list[torch.optim.Optimizer]) -> None:
        self._optimisers = optimisers
        self._peaks = [[group["lr"] for group in o.param_groups] for o in optimisers]

    def set_share(self, share: float) -> None:
        """Set every learning rate to `share` of its peak."""
        for optimiser, peaks in zip(self._optimisers, self._peaks, strict=True):
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["lr"] = peak * share

    def step(self) -> None:
        """Apply the gradients and forget them."""
        for optimiser in self._optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        """Moments of every optimiser, for exact resume."""
        return [optimiser.state_dict() for optimiser in self._optimisers]

    def load_state_dict(self, states: list[dict]) -> None:
        """Restore what `state_dict` returned."""
        for optimiser, state in zip(self._optimisers, states, strict=True):
            optimiser.load_state_dict(state)


def build_optimisers(model: nn.Module, config: OptimiserConfig) -> Optimisers:
    """Muon (Jordan et al. 2024) for the blocks' matrices, AdamW for the rest; norms do not decay.

    Muon's update is scaled to AdamW's RMS (Moonlight, arXiv:2502.16982), so weight decay keeps its meaning.

    Raises:
        ConfigError: this PyTorch has no Muon (it came with 2.9).
    """
    matrices, embeddings, vectors = [], [], []
    for name, parameter in model.named_parameters():
        target = vectors if parameter.ndim < 2 else embeddings if "embed" in name else matrices
        target.append(parameter)
    adamw_groups = [
        {"params": embeddings, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if config.kind == "adamw":
        adamw_groups.append({"params": matrices, "weight_decay": config.weight_decay})
    built: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(adamw_groups, lr=config.adamw_lr, betas=config.adamw_betas)
    ]
    if config.kind == "muon":
        if not hasattr(torch.optim, "Muon"):
            raise ConfigError(
                f"PyTorch {torch.__version__} has no Muon; install torch>=2.9 or train with "
                "optimiser adamw."
            )
        built.append(
            torch.optim.Muon(
                matrices,
                lr=config.muon_lr,
                weight_decay=config.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    return Optimisers(built)
