"""ICMP errors about connections: who sent them, and what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.model import IntArray
from pcapflow.anomalies.opening.icmp import icmp_text
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.model import Observation
from pcapflow.tcp import marks
from pcapflow.text.addresses import address_text
from pcapflow.text.phrases import counted

_LOOKED_AT: Final = 1000
"""Messages that are read at most; what is said of more is said in these."""


class Message(NamedTuple):
    """One ICMP error.

    Attributes:
        flow: the connection it speaks of.
        about: the side whose segment it speaks of.
        sender: the address it came from; "" where only its first was kept and this is another.
        family: 4 or 6.
        value: its type times 256 and code.
        frame, time_ns: where it stands.
    """

    flow: int
    about: int
    sender: str
    family: int
    value: int
    frame: int
    time_ns: int

    @property
    def text(self) -> str:
        """What it says."""
        return icmp_text(self.family, self.value)


def messages(case: Case, flows: IntArray, *, after_ns: int = -1) -> list[Message]:
    """The ICMP errors about these connections, in order of time."""
    f, m = case.tables.flows, case.tables.marks
    rows = np.flatnonzero((m["mark"] == marks.MARK_ICMP_UNREACHABLE) & case.mask(flows)[m["flow"]])
    rows = rows[m["time_ns"][rows] >= after_ns]
    rows = rows[np.argsort(m["time_ns"][rows], kind="stable")][:_LOOKED_AT]
    found = []
    for row in rows.tolist():
        flow, frame = int(m["flow"][row]), int(m["frame"][row])
        family = int(f["family"][flow])
        sender = ""
        if int(f["icmp_frame"][flow]) == frame:
            sender = address_text(family, int(f["icmp_hi"][flow]), int(f["icmp_lo"][flow]))
        found.append(
            Message(flow, int(m["endpoint"][row]), sender, family, int(m["value"][row]), frame, int(m["time_ns"][row]))
        )
    return found


def senders(errors: Sequence[Message]) -> tuple[str, ...]:
    """The addresses that sent them, the most frequent first."""
    return tuple(who for who, _ in Counter(message.sender for message in errors if message.sender).most_common())


def observed(case: Case, errors: Sequence[Message]) -> list[Observation]:
    """What the messages of each sender say, with their frames."""
    found = []
    for who in senders(errors)[:3]:
        texts = list(dict.fromkeys(message.text for message in errors if message.sender == who))
        same = [
            message for message in errors if message.sender == who or (not message.sender and message.text in texts)
        ]
        frames = proof(message.frame for message in same)
        is_host = any(who == case.tables.ip(message.flow, 1 - message.about) for message in same)
        found.append(
            Observation(
                f"{who if is_host else 'the router ' + who} said so by {counted(len(same), 'ICMP message')}: "
                f"{' and '.join(texts[:3])}{in_frames([message.frame for message in same])}",
                frames,
            )
        )
    return found
