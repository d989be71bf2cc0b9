"""Peaks of accelerators, from their vendors' data sheets. CPU peaks are measured, never tabulated."""

from __future__ import annotations

import msgspec


class DevicePeaks(msgspec.Struct, frozen=True, kw_only=True):
    """What a device can do at best. Dense matrix products: a data sheet's sparse figures are twice these."""

    name: str
    bf16_flops: float
    """Operations per second, bfloat16 in, float32 accumulation."""
    fp8_flops: float | None
    """None where the device has no fp8 matrix units."""
    memory_bytes_per_s: float
    memory_bytes: float

    def peak_flops(self, *, is_fp8: bool = False) -> float:
        """The peak of a weight type; bf16's where there is no fp8."""
        return self.fp8_flops if is_fp8 and self.fp8_flops is not None else self.bf16_flops


DEVICES = (
    DevicePeaks(
        name="H100 SXM",
        bf16_flops=989.4e12,
        fp8_flops=1978.9e12,
        memory_bytes_per_s=3.35e12,
        memory_bytes=80e9,
    ),
    DevicePeaks(
        name="H100 PCIe",
        bf16_flops=756e12,
        fp8_flops=1513e12,
        memory_bytes_per_s=2.0e12,
        memory_bytes=80e9,
    ),
    DevicePeaks(
        name="H200 SXM",
        bf16_flops=989.4e12,
        fp8_flops=1978.9e12,
        memory_bytes_per_s=4.8e12,
        memory_bytes=141e9,
    ),
)
"""Sources: NVIDIA H100 Tensor Core GPU data sheet (SXM5 and PCIe; tensor figures there are with sparsity,
halved here) and NVIDIA H200 Tensor Core GPU data sheet (SXM)."""


def device_peaks(name: str) -> DevicePeaks | None:
    """Peaks of the device that CUDA calls `name` ("NVIDIA H100 80GB HBM3"), or None if unknown.

    CUDA's name tells the PCIe card by that word; "H100 80GB HBM3" is the SXM module, and an H200 is
    taken as SXM.
    """
    words = name.upper().replace("-", " ").split()
    form = "PCIE" if "PCIE" in words else "SXM"
    for device in DEVICES:
        model, shape = device.name.upper().split()
        if model in words and shape == form:
            return device
    return None
