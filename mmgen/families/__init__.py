"""Families of generative models, on tensors alone."""
