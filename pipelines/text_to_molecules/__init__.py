"""Recipes for P(molecules | text)."""
