"""Recipes for P(image | text)."""
