"""A searcher that learns measured stages and computes all others exactly."""
