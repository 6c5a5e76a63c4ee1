"""Contract tests for searchers, evaluators and workers of third parties."""
