"""One thread for all tests of the engine: tiny products gain nothing from two, and lose much on busy cores."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
