"""A whole capture: read, followed by one process or two, and joined to tables."""
