"""Many people typing at once, in several dialects: see benchmarks/many_typists.py."""
