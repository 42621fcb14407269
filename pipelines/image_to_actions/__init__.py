"""Recipes for P(actions | image)."""
