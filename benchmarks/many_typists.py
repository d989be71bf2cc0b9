"""Many people typing on one server, in all dialects at once: does anything hang, break or grow?

python benchmarks/many_typists.py [--seconds 60] [--typists 200] [--real-typists 8] [--idle 1000]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.typists.main import main

if __name__ == "__main__":
    sys.exit(main())
