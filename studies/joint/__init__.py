"""The space that joins EdgeBERT, DynaSplit and AppealNet."""
