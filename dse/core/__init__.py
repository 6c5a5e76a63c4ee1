"""Parameters, spaces, evaluators and problems: what everything else stands on."""
