"""How connections open, or do not."""
