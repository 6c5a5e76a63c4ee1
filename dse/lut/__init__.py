"""From a front to the lookup table that a runtime obeys."""
