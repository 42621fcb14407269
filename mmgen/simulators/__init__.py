"""Programs that make pairs (x, y) from a description, and judges that read x back."""

__all__: list[str] = []
