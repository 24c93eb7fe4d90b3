"""Segments in, connections out: what each endpoint did, in which state it was, and how that is known."""
