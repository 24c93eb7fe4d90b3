"""How connections close, or do not."""
