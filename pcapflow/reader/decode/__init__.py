"""Bytes of a frame in, rows of a batch of segments out."""
