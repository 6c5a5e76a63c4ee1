"""Edge DSE: co-design of edge hardware, network and runtime in one multi-objective search."""
