"""Resets: why they were sent, and what they destroyed."""
