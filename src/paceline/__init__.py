"""Paceline: self-hosted AI code completion that owns its whole loop."""

__version__ = "0.1.0"
