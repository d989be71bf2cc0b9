"""Which text from elsewhere a prompt gets to see: sources, ranking, budgets, and what never enters."""
