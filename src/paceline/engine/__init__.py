"""Token ids in, token ids out: sequences, batched steps, KV cache and sampling."""
