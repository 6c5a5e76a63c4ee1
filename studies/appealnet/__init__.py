"""AppealNet (arXiv 2105.04104): system, studies and commands."""
