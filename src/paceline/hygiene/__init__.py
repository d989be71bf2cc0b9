"""What must not leave a file or enter one: secrets, personal data, paths that are off limits."""
