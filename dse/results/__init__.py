"""Fronts of finished runs: tables, comparisons, exports and checks."""
