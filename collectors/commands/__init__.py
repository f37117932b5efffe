"""The verbs of `collectors`, a file each; the function's docstring is its help."""
