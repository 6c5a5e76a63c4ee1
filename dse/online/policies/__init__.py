"""Policies that pick a row per request."""
