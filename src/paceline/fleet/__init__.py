"""Models on devices: runs an engine for each and offers it as a TextGenerator."""
