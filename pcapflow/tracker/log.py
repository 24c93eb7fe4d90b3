"""What the trackers write: growable typed columns, one class a table. :mod:`pcapflow.collect` makes tables of them."""

from __future__ import annotations

from typing import Final, final

from librt.vecs import append, vec
from mypy_extensions import i64, u8

WITHDRAWN: Final = 255
"""Basis of a transition that was taken back: it is left out of the table."""


@final
class TransitionLog:
    """Transitions in the order they became known. ``previous`` chains those of one endpoint, newest first."""

    def __init__(self) -> None:
        self.size: i64 = 0
        self.withdrawn: i64 = 0
        self.flow: vec[i64] = vec[i64]()
        self.endpoint: vec[u8] = vec[u8]()
        self.old: vec[u8] = vec[u8]()
        self.new: vec[u8] = vec[u8]()
        self.time_ns: vec[i64] = vec[i64]()
        self.frame: vec[i64] = vec[i64]()
        self.event: vec[u8] = vec[u8]()
        self.basis: vec[u8] = vec[u8]()
        self.previous: vec[i64] = vec[i64]()

    def add(
        self,
        flow: i64,
        endpoint: i64,
        old: i64,
        new: i64,
        time_ns: i64,
        frame: i64,
        event: i64,
        basis: i64,
        previous: i64,
    ) -> i64:
        """Appends a transition and returns its row."""
        self.flow = append(self.flow, flow)
        self.endpoint = append(self.endpoint, u8(endpoint))
        self.old = append(self.old, u8(old))
        self.new = append(self.new, u8(new))
        self.time_ns = append(self.time_ns, time_ns)
        self.frame = append(self.frame, frame)
        self.event = append(self.event, u8(event))
        self.basis = append(self.basis, u8(basis))
        self.previous = append(self.previous, previous)
        self.size += 1
        return self.size - 1

    def withdraw(self, row: i64) -> None:
        """Takes a transition out of the record."""
        self.basis[row] = u8(WITHDRAWN)
        self.withdrawn += 1


@final
class MarkLog:
    """Marks in the order of their frames."""

    def __init__(self) -> None:
        self.flow: vec[i64] = vec[i64]()
        self.frame: vec[i64] = vec[i64]()
        self.time_ns: vec[i64] = vec[i64]()
        self.endpoint: vec[u8] = vec[u8]()
        self.mark: vec[u8] = vec[u8]()
        self.value: vec[i64] = vec[i64]()

    def add(self, flow: i64, frame: i64, time_ns: i64, endpoint: i64, mark: i64, value: i64) -> None:
        """Appends a mark."""
        self.flow = append(self.flow, flow)
        self.frame = append(self.frame, frame)
        self.time_ns = append(self.time_ns, time_ns)
        self.endpoint = append(self.endpoint, u8(endpoint))
        self.mark = append(self.mark, u8(mark))
        self.value = append(self.value, value)
