"""Decoders in PyTorch, one file per architecture, and their Hugging Face checkpoints."""
