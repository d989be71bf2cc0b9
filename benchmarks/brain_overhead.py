"""What the brain itself costs a keystroke, beside parsing the file from nothing and beside a brain that does nothing.

python benchmarks/brain_overhead.py [--quick] [--rounds 5] [--languages python,typescript,go] [--out FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.brain.main import main

if __name__ == "__main__":
    sys.exit(main())
