"""Who proposes designs: one file per searcher, one protocol for all."""
