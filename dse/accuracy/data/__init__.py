"""Labelled data: tasks, their sources, and images."""
