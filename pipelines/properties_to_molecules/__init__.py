"""Recipes for P(molecules | properties)."""
