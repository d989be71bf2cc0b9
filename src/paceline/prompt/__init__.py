"""Fill-in-the-middle prompts within a token budget; the one home for training, serving and evals."""
