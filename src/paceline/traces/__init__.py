"""Keystroke traces: what an editor would report while somebody types in the middle of a real file."""
