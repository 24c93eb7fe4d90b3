"""Segments in, connections out: what each endpoint did, in which state it was, and how that is known."""

from pcapflow.tracker.flow_table import FlowTable

__all__ = ["FlowTable"]
