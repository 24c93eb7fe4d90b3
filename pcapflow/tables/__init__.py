"""Typed columns of numbers: what the trackers logged of a capture."""
