"""Words that every stage shares: documents, cursors, candidates and the tree of errors."""
