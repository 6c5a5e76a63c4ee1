"""Study files: schema, loading, warm starts, and the runner."""
