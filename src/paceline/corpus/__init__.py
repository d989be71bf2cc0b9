"""Source packages to training text: read, check licences, filter, drop duplicates, write shards."""
