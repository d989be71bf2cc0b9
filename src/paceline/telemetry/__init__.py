"""What became of completions: written down before it is acknowledged, numbers only."""
