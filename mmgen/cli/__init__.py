"""The command line: `mmgen generate`, `classify`, `outliers`, `train`, `list`, `show`, `doctor`.

Importing it loads neither torch nor anything built on it. Torch takes seconds to import, `--help`
must not, and `doctor` must run where torch is broken: so commands import what computes, and what
draws on the terminal, inside their functions. Only here is that right.
"""
