"""What rules look up in the tables."""
