"""How good is a model? Held-out cases, baselines that are hard to beat, intervals, and a report."""
