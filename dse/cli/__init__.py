"""The `dse` command: what users type and what they read."""
