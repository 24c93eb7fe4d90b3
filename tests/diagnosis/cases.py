"""Captures of many connections, each told as a ladder, and what the patterns say of them.

``@fires`` and ``@spares`` of :mod:`tests.anomalies.cases` say of a test which pattern it shows at work and which it
spares; the catalogue's test asks that both exist for each.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from fixtures.ladder import START_NS
from pcapflow.anomalies.run import find_anomalies
from pcapflow.config import Config
from pcapflow.diagnosis.model import Incident
from pcapflow.diagnosis.run import diagnose
from pcapflow.payload.said import Payload, Said
from pcapflow.reader.segment_batch import ICMP_QUOTE
from tests.ladders import CLIENT, ISNS, SERVER, Row, _row, run

_TTL = re.compile(r"\bttl (\d+)")
_MSS = re.compile(r"\bmss (\d+)")
_ICMP = re.compile(r"\bicmp (\d+)")

OPEN = """
      0  > S   0:0
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1
"""
"""A handshake, as the beginning of a ladder."""


@dataclasses.dataclass(frozen=True)
class Connection:
    """One connection of a capture.

    Attributes:
        ladder: its rungs, as in :mod:`tests.ladders`; a rung may also have ``ttl``, a SYN ``mss``, and one that
            a router quotes in an ICMP error has ``icmp``, the error's type times 256 and code.
        at_ms: when its rung at 0 ms happens, after the beginning of the capture.
        client, server: address and port.
    """

    ladder: str
    at_ms: float = 0.0
    client: tuple[str, int] = CLIENT
    server: tuple[str, int] = SERVER

    def rows(self, isn: tuple[int, int]) -> list[Row]:
        """Its segments."""
        return [self._row(rung, isn) for rung in self.ladder.splitlines() if rung.strip()]

    def _row(self, rung: str, isn: tuple[int, int]) -> Row:
        ttl, mss, icmp = _TTL.search(rung), _MSS.search(rung), _ICMP.search(rung)
        row = _row(_ICMP.sub("", _MSS.sub("", _TTL.sub("", rung))), isn, self.client, self.server)
        if icmp:
            segment = dataclasses.replace(row.segment, window=int(icmp[1]))
            row = dataclasses.replace(row, segment=segment, flags=ICMP_QUOTE)
        return dataclasses.replace(
            row,
            time_ns=row.time_ns + round(self.at_ms * 1e6),
            segment=dataclasses.replace(row.segment, ttl=int(ttl[1])) if ttl else row.segment,
            syn_options=row.syn_options | (int(mss[1]) if mss else 0),
        )


def repeated(ladder: str, count: int, *, apart_ms: float = 10.0, at_ms: float = 0.0, first_port: int = 40_000,
             client: str = CLIENT[0], server: tuple[str, int] = SERVER) -> list[Connection]:  # fmt: skip
    """The same conversation several times, one after another, each from a port of its own."""
    return [
        Connection(ladder, at_ms + apart_ms * i, (client, first_port + i), server) for i in range(count)
    ]  # fmt: skip


def incidents(
    connections: Iterable[Connection],
    *,
    end_ms: float = 0.0,
    config: Config | None = None,
    isn: tuple[int, int] = ISNS["plain"],
    said: Iterable[Said] = (),
) -> list[Incident]:
    """What the patterns say of these connections, worst first.

    Args:
        connections: in any order; their segments are put in order of time.
        end_ms: when the capture ends; with its last segment if 0.
        config: thresholds; the defaults without.
        isn: the initial sequence numbers of client and server, of every connection.
        said: what was said on some of them.
    """
    config = config or Config()
    rows = sorted((row for connection in connections for row in connection.rows(isn)), key=lambda row: row.time_ns)
    last_ns = max(rows[-1].time_ns, START_NS + round(end_ms * 1e6))
    tables = run(rows, last_ns=last_ns)
    capture = dataclasses.replace(
        tables.capture, frames=len(rows), segments=len(rows), first_ns=rows[0].time_ns, last_ns=last_ns
    )
    tables = dataclasses.replace(tables, capture=capture)
    payload = Payload({each.flow: each for each in said})
    return diagnose(tables, find_anomalies(tables, config), config, payload)


def told(found: Sequence[Incident], pattern: str) -> list[Incident]:
    """The incidents of this pattern."""
    return [incident for incident in found if incident.pattern == pattern]


def only(found: Sequence[Incident], pattern: str) -> Incident:
    """The one incident of this pattern."""
    rows = told(found, pattern)
    assert len(rows) == 1, [(incident.pattern, incident.headline) for incident in found]
    return rows[0]
