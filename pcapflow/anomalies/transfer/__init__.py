"""Data on its way: windows, silence, loss."""
