"""The fast CPU executor: a step is one call into C++ that was compiled for this very processor.

    build.py      finds a compiler, compiles the sources beside it once, keeps the library in the user's cache
    library.py    the C interface (api.h) in ctypes, and the check that a library computes what it should
    runner.py     NativeRunner, an Executor

    vec.h         16 floats or integers: AVX-512 VNNI, AVX2 or plain C++
    gemm.*        8-bit weights and activations in groups of 64, and their product
    rows.*        norms, RoPE, activations, adapters: everything that concerns one row
    attention.*   the KV cache in blocks of 16, and attention to it
    model.*       weights and buffers;  forward.cpp  a step;  pool.*  threads;  api.*  the C interface

What the engine relies on: the logits of a row are the same bits whatever else is in its step, however
its sequence was cut into steps, and for any number of threads. So speculation, chunked prefill and
batches cannot change a completion.
"""
