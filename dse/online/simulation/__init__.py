"""Workloads, outcomes and the simulator."""
