"""A Language Server for every editor: thin, starts without torch, asks a running server or an upstream."""
