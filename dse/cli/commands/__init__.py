"""Commands of the parts that stand on the core, one module a part."""
