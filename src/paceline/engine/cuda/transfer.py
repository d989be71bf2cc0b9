"""One pinned buffer on the host, sent to the device without waiting."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class HostBuffer:
    """int32 numbers in page-locked memory, which grows when asked. Take, fill, send; then again."""

    def __init__(self, size: int, device: torch.device) -> None:
        self._is_cuda = device.type == "cuda"
        self._sent: torch.cuda.Event | None = None
        self._grow(size)

    def _grow(self, size: int) -> None:
        self._tensor = torch.zeros(size, dtype=torch.int32, pin_memory=self._is_cuda)
        self._array: np.ndarray = self._tensor.numpy()

    def take(self, size: int = 0) -> np.ndarray:
        """Return the buffer, once the device has read what was sent last."""
        if self._sent is not None:
            self._sent.synchronize()
        if size > len(self._array):
            self._grow(2 * size)
        return self._array

    def send(self, target: Tensor, count: int) -> None:
        """Start copying the first `count` numbers to the start of `target`."""
        target[:count].copy_(self._tensor[:count], non_blocking=self._is_cuda)
        if self._is_cuda:
            self._sent = self._sent or torch.cuda.Event()
            self._sent.record()
