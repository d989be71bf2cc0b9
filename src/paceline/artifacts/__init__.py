"""Formats between the stages: folders with a manifest that are either whole or absent."""
