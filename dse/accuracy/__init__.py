"""Real networks on real labelled text; the only importer of torch and transformers."""
