"""Recipes: choices, not code."""
