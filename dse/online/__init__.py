"""The runtime: measured trials, policies that pick a row per request, workloads, simulation.

It knows rows and columns, no hardware: what a row costs comes from a run or from measurements.
"""
