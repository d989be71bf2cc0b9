"""One file per wire protocol: thin adapters onto the completion service or the generator below it."""
