"""Real edits typed again through the whole brain: what is asked, shown, kept, wasted, and how it feels."""
