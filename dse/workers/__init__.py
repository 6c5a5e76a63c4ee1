"""Where measured evaluators run: here, in a pool of processes, or on Ray."""
