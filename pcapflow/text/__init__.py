"""Words and figures for people."""
