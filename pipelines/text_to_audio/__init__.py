"""Recipes for P(audio | text)."""
