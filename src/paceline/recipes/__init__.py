"""Functions that return a full config; their names are the recipe names of the CLI."""
