"""Deterministic captures, and pcapflow measured on them beside its peers."""
