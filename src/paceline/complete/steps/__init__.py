"""The post-processing steps, one family of rules per file; `complete/postprocess.py` puts them in order."""
