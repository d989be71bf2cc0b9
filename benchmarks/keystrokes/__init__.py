"""Keystroke latency of paceline beside llama.cpp, vLLM and OpenVINO GenAI. `python benchmarks/keystrokes.py`."""
