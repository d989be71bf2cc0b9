"""How good a model is: tasks on held-out code, metrics with intervals, baselines, reports."""
