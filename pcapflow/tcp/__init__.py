"""The vocabulary of TCP: states, events, flags, marks and sequence numbers. Data and arithmetic, nothing else."""
