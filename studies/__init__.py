"""What is asked: one question, one study file beside the module that composes it."""
