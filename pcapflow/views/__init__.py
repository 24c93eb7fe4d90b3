"""Plain data that several renderers show."""
