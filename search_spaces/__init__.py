"""What may be chosen: the search spaces, as data."""
