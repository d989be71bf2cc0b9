"""Arithmetic about models and devices: work, traffic, peaks. Numbers in, numbers out; no torch, no files."""
