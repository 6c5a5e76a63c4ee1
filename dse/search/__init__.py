"""The search loop, what opens it and what ends it."""
