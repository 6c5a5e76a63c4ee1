"""Measured trials: files, evaluator and store."""
