"""Who may ask what, and how much of it: tokens, scopes, quotas, the audit log."""
