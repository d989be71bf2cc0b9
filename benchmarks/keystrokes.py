"""Keystroke latency of paceline beside llama.cpp, vLLM and OpenVINO GenAI; see benchmarks/README.md.

python benchmarks/keystrokes.py [--quick] [--models shipped,random] [--peers llama-native,vllm,openvino]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.keystrokes.main import main

if __name__ == "__main__":
    sys.exit(main())
