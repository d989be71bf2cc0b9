"""The playground page: an editor with ghost text, served to the browser by the server that completes."""
