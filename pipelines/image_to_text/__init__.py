"""Recipes for P(text | image)."""
