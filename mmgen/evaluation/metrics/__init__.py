"""Metrics, one a file, each with its direction, units, sample size and reference."""
