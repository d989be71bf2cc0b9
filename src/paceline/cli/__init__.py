"""The `paceline` command: one file per subcommand; wiring.py is the only place that joins parts."""
