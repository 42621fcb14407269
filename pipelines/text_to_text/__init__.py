"""Recipes for P(text | text)."""
