"""EdgeBERT (arXiv 2011.14203): system, study and runtime."""
