"""The engine's executor for NVIDIA GPUs: fused Triton kernels, paged attention, CUDA graphs.

    runner.py      CudaRunner, the Executor: one step from packed rows to logits
    packing.py     a step's numbers, in one buffer that is copied to the device once
    graphs.py      steps of few rows, recorded once per bucket and replayed
    linear.py      matrices in bfloat16 or fp8, adapters as extra rows
    operators.py   the five fused operators as one tuple, so that a runner does not know who computes them
    choose.py      which operators a device gets
    kernels/       ... in Triton
    eager.py       ... in PyTorch's own fused functions: what they compete with
    reference.py   ... in plain PyTorch and float32: what they mean, and their slow twin

Nothing here imports Triton before it is used. docs/cuda.md says what has been proven, and on what.
"""
