"""Checkpoints that others made, as parts of mmgen: one library a file, imported only when used."""
