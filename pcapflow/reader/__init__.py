"""Capture files in, batches of TCP segments out."""
