"""What the brain itself costs a keystroke; see benchmarks/README.md."""
