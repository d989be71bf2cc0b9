"""Cursor to completion: mode, prompt parts, post-processing and the service that joins them."""
