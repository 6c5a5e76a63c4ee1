"""Evaluators of whole systems: a chip or a board, alone or with a link and a cloud behind it."""
