"""Corpus to checkpoint: data, optimiser, schedule, loop and exact resume."""
