"""The seam: what a text generator is asked and what it streams back. Text only, no ids."""
