"""What the capture itself lacks or has too much of, and so what its verdicts are worth."""
