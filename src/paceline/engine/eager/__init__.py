"""The executor in plain PyTorch: the reference of the others, and what runs where they cannot."""
