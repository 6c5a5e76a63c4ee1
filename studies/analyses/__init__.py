"""Analyses over several searches: ablation, coordinate descent, survival."""
