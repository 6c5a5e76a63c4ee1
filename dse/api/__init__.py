"""The public face: what `import dse` offers beyond the parts of a problem."""
