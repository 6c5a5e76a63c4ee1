"""A run on disk: database, manifest, events, lock and identity."""
