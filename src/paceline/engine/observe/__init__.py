"""What an engine did, in numbers: figures for Prometheus, traces for Chrome. No text, no torch."""
