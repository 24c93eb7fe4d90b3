"""Flows that have yet to see their first segment, made of what the index knows of a connection."""

from __future__ import annotations

from typing import final

from mypy_extensions import i64

from pcapflow.reader.segment_batch import IS_IPV6
from pcapflow.tcp.marks import PORT_REUSE
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.tracker.endpoint import Endpoint
from pcapflow.tracker.flow import Flow
from pcapflow.tracker.index import TAG, ConnectionIndex
from pcapflow.tracker.log import MarkLog, TransitionLog
from pcapflow.tracker.pending import NO_FIN, NO_ICMP_ERROR, NO_INFERENCE, NO_RESET


@final
class NewFlows:
    """Makes the flows of one flow table; what all of them share is kept here."""

    def __init__(self, index: ConnectionIndex, transitions: TransitionLog, marks: MarkLog, marks_per_flow: i64) -> None:
        self._index = index
        self._transitions = transitions
        self._marks = marks
        self._marks_per_flow: i64 = marks_per_flow

    def make(self, number: i64, frame: i64, time_ns: i64, vlan: i64, is_reuse: bool) -> Flow:
        """A flow.

        Args:
            number: of a connection in the index.
            frame, time_ns, vlan: of its first segment.
            is_reuse: whether another connection had its tuple before.
        """
        index = self._index
        tag: i64 = index.cell(number, TAG)
        client = Endpoint(
            CLIENT, index.cell(number, 0), index.cell(number, 1), (tag >> 16) & 0xFFFF, NO_FIN, NO_INFERENCE
        )
        server = Endpoint(SERVER, index.cell(number, 2), index.cell(number, 3), tag & 0xFFFF, NO_FIN, NO_INFERENCE)
        flow = Flow(
            number,
            client,
            server,
            (tag >> 20) & IS_IPV6 != 0,
            frame,
            time_ns,
            self._transitions,
            self._marks,
            self._marks_per_flow,
            NO_RESET,
            NO_ICMP_ERROR,
        )
        flow.vlan = vlan
        flow.tunnel = tag >> 33
        if is_reuse:
            flow.mark(frame, time_ns, client, PORT_REUSE, 0)
        return flow
