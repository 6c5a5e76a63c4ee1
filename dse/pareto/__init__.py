"""Dominance and hypervolume."""
