"""Compression techniques, one module each, and the pipeline that applies them."""
