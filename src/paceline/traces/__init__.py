"""Keystroke traces: what an editor would report while somebody types real code, and what that user wants.

Sources are whole files (`simulate`), releases and git histories (`releases`, `git_history` -> `changes`
-> `edits` -> `retype`). `moments` says what is still to come, `user` what ghost text is worth to them.
"""
