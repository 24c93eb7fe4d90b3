"""Every code of the catalogue from real segments, through tracker and rules, at plain and at wrapped sequence numbers.

The other tests of the rules tell their tables by hand; here each rule speaks of what the tracker really makes of a
ladder. What the rules say must not depend on where the sequence numbers begin.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import pytest

from fixtures.ladder import START_NS
from pcapflow.anomalies.catalogue import catalogue
from pcapflow.anomalies.model import Anomaly
from pcapflow.anomalies.run import find_anomalies
from pcapflow.config import Config
from pcapflow.reader.segment_batch import ICMP_QUOTE
from tests.ladders import CLIENT, ISNS, Row, _row, run

FIRST_CLIENT_PORT = 50_000
NO_SEGMENTS = {
    "PF904": "a file that ends inside a record: the reader says so",
    "PF905": "time stamps that go back are counted by the reader, before there are sequence numbers",
    "PF906": "packets that nothing decodes have no segments",
}
"""Codes that no ladder can show, and why."""

BY_WIRESHARK = {"PF901"}
"""Codes that cite the frames of Wireshark's marks, to which the raw number 0 is none: they find one frame fewer."""

OPEN = """
      0  > S   0:0
      1  < S.  0:0    ack 1
      2  > .   1:1    ack 1
"""
ASKED = f"""{OPEN}
      5  > P.  1:6    ack 1
      6  < .   1:1    ack 6
"""
HALF_CLOSED = f"""{OPEN}
     10  > F.  1:1    ack 1
     11  < .   1:1    ack 2
"""
CLOSED = f"""{HALF_CLOSED}
     12  < F.  1:1    ack 2
     13  > .   2:2    ack 2
"""
LAST_ACK = f"""{HALF_CLOSED}
     20  < F.  1:1    ack 2
    220  < F.  1:1    ack 2
    640  < F.  1:1    ack 2
   1480  < F.  1:1    ack 2
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """A capture as ladders.

    Attributes:
        code: the rule that must speak.
        ladder: the segments of a connection. Besides the words of :mod:`tests.ladders` a rung may have ``mss`` (on
            a SYN), and ``icmp`` (it is quoted in an ICMP error of that type and code, type times 256).
        flows: how many clients do the same, one after another.
        apart_ms: how long after one another.
        end_ms: when the capture ends; with its last segment if 0.
        config: the settings.
        max_open_flows: connections that are followed at once.
    """

    code: str
    ladder: str
    flows: int = 1
    apart_ms: float = 3.0
    end_ms: float = 0.0
    config: Config = dataclasses.field(default_factory=Config)
    max_open_flows: int = 1 << 20


SPEAKS = [
    Case("PF101", "0 > S 0:0 \n 1000 > S 0:0 \n 3000 > S 0:0", end_ms=8000),
    Case("PF102", "0 > S 0:0 \n 1 < R. 0:0 ack 1"),
    Case("PF103", "0 > S 0:0 \n 5 > S 0:0 icmp 781", end_ms=5000),
    Case("PF103", f"{ASKED} \n 20 > P. 6:11 ack 1 \n 21 > P. 6:11 ack 1 icmp 769 \n 220 > P. 6:11 ack 1", end_ms=5000),
    Case("PF104", "0 > S 0:0 \n 1 < S. 0:0 ack 1 \n 1001 < S. 0:0 ack 1 \n 3001 < S. 0:0 ack 1", end_ms=8000),
    Case("PF105", "0 > S 0:0 \n 1 < S. 0:0 ack 1", flows=6, end_ms=4000, config=Config(flood_flows=5)),
    Case("PF106", f"{OPEN} \n 1001 < S. 0:0 ack 1 \n 1002 > . 1:1 ack 1", flows=3),
    Case("PF106", f"{OPEN} \n 3 < R 1:1 win 0", flows=3),
    Case(
        "PF107",
        f"""{OPEN}
   5000  > S   70000:70000
   5001  < .   1:1    ack 1
   5002  > R   1:1
   6000  > S   70000:70000
   6001  < S.  90000:90000 ack 70001
   6002  > .   70001:70001 ack 90001
        """,
    ),
    Case(
        "PF108",
        "0 > S 0:0 \n 1 < S 0:0 \n 10 > S. 0:0 ack 1 \n 11 < S. 0:0 ack 1 \n 20 > . 1:1 ack 1 \n 21 < . 1:1 ack 1",
    ),
    Case("PF109", "0 > S 0:0 \n 1 < R. 0:0 ack 1", flows=4, config=Config(scan_ports=1)),
    Case("PF201", LAST_ACK, end_ms=2000),
    Case("PF202", HALF_CLOSED, end_ms=70_000),
    Case("PF203", HALF_CLOSED, end_ms=70_000),
    Case("PF204", HALF_CLOSED, flows=5, end_ms=70_000),
    Case("PF205", f"{OPEN} \n 10 > F. 1:1 ack 1 \n 210 > F. 1:1 ack 1 \n 610 > F. 1:1 ack 1", end_ms=2000),
    Case(
        "PF206",
        f"""{HALF_CLOSED}
    100  < P.  1:501   ack 2
    101  > .   2:2     ack 501
    110  < F.  501:501 ack 2
    111  > .   2:2     ack 502
        """,
    ),
    Case(
        "PF207",
        f"{OPEN} \n 10 > F. 1:1 ack 1 \n 11 < F. 1:1 ack 1 \n 20 > . 2:2 ack 2 \n 21 < . 2:2 ack 2",
    ),
    Case("PF208", f"{HALF_CLOSED} \n 20 > P. 2:22 ack 1"),
    Case("PF209", CLOSED, flows=3, config=Config(time_wait_many=3, ephemeral_ports=1000)),
    Case("PF210", OPEN, flows=3, config=Config(ephemeral_ports=4)),
    Case(
        "PF211",
        f"{CLOSED} \n 5000 > S 70000:70000 \n 5001 < S. 90000:90000 ack 70001 \n 5002 > . 70001:70001 ack 90001",
    ),
    Case("PF212", f"{CLOSED} \n 20 < R 2:2"),
    Case("PF301", f"{ASKED} \n 20 > R. 6:6 ack 1"),
    Case("PF302", f"{ASKED} \n 20 < P. 1:1001 ack 6 \n 21 > R. 6:6 ack 1"),
    Case("PF302", f"{HALF_CLOSED} \n 20 < P. 1:15 ack 2 \n 21 > R 2:2"),
    Case("PF303", f"{ASKED} \n 20 < R 900000:900000 \n 300 > P. 6:11 ack 1 \n 301 < . 1:1 ack 11"),
    Case(
        "PF304",
        """
      0  > S   0:0    ts 1 ecr 0
      1  < S.  0:0    ack 1 ts 9 ecr 1
      2  > .   1:1    ack 1 ts 2 ecr 9
      5  > P.  1:6    ack 1 ts 5 ecr 9
      6  < .   1:1    ack 6 ts 15 ecr 5
     20  < R.  1:1    ack 6 ttl 37
        """,
    ),
    Case("PF305", f"{ASKED} \n 350006 > P. 6:11 ack 1 \n 350007 < R 1:1"),
    Case("PF306", "0 > . 500:500 ack 900 \n 1 < R 900:900"),
    Case("PF401", f"{ASKED} \n 20 > P. 6:106 ack 1 \n 21 < . 1:1 ack 106 win 0 \n 3000 < . 1:1 ack 106 win 900"),
    Case(
        "PF402",
        f"{ASKED} \n 100 > P. 6:11 ack 1" + "".join(f"\n {300 * 2**n} > P. 6:11 ack 1" for n in range(6)),
    ),
    Case("PF403", f"{ASKED}" + "".join(f"\n {60_000 + 1000 * n} > . 5:5 ack 1" for n in range(4))),
    Case(
        "PF404",
        f"{ASKED}"
        + "".join(f"\n {100 * n} > P. {5 * n + 1}:{5 * n + 6} ack 1" for n in range(1, 11))
        + "".join(f"\n {1500 + 100 * n} > P. {5 * n + 1}:{5 * n + 6} ack 1" for n in (2, 4, 7))
        + "\n 2300 < . 1:1 ack 56",
    ),
    Case(
        "PF405",
        """
      0  > S   0:0    mss 536
      1  < S.  0:0    ack 1 mss 536
      2  > .   1:1    ack 1
     10  > .   1:537  ack 1
    310  > .   1:537  ack 1
    910  > .   1:537  ack 1
   2110  > .   1:537  ack 1
   2200  < P.  1:9    ack 1
        """,
    ),
    Case("PF901", f"{ASKED} \n 20 < . 1:1 ack 1000 \n 21 > F. 1000:1000 ack 1 \n 22 < . 1:1 ack 1001"),
    Case("PF901", f"{ASKED} \n 20 < . 1:1 ack 1449 \n 21 > P. 1449:1500 ack 1 \n 22 < . 1:1 ack 1500"),
    Case("PF902", "0 > S 0:0 \n 2 > . 1:1 ack 1 \n 5 > P. 1:6 ack 1 \n 20 > P. 6:11 ack 30"),
    Case("PF903", f"{OPEN} \n 5 > P. 1:6 ack 1 id 7 \n 6 > P. 1:6 ack 1 id 7 \n 7 < . 1:1 ack 6"),
    Case("PF907", OPEN, flows=3, max_open_flows=1),
]
"""For every code something that it must be told of."""

SILENT = [
    Case("PF101", "0 > S 0:0 \n 1000 > S 0:0 \n 1001 < S. 0:0 ack 1 \n 1002 > . 1:1 ack 1", end_ms=8000),
    Case("PF102", "0 > S 0:0 \n 1 < R. 0:0 ack 77 \n 2 < S. 0:0 ack 1 \n 3 > . 1:1 ack 1"),
    Case("PF104", "0 > S 0:0 \n 1 < S. 0:0 ack 1", end_ms=900),
    Case("PF106", f"{OPEN} \n 1001 < S. 0:0 ack 1 \n 1002 > . 1:1 ack 1", flows=2),
    Case("PF106", f"{OPEN} \n 900 < R 1:1 win 0", flows=3),
    Case("PF106", f"{OPEN} \n 3 < R. 1:1 ack 1", flows=3),
    Case("PF107", f"{CLOSED} \n 5000 > S 70000:70000 \n 5001 < S. 90000:90000 ack 70001"),
    Case("PF108", "0 > S 0:0 \n 1 < S. 0:0 ack 1 \n 2 > . 1:1 ack 1"),
    Case("PF201", f"{LAST_ACK} \n 1481 > . 2:2 ack 2 \n 1490 > . 2:2 ack 2", end_ms=9000),
    Case("PF202", f"{HALF_CLOSED} \n 20000 < P. 1:9 ack 2 \n 20001 > . 2:2 ack 9", end_ms=70_000),
    Case("PF203", CLOSED, end_ms=70_000),
    Case("PF204", HALF_CLOSED, flows=4, end_ms=70_000),
    Case("PF205", f"{OPEN} \n 10 > F. 1:1 ack 1 \n 210 > F. 1:1 ack 1 \n 211 < . 1:1 ack 2", end_ms=900),
    Case("PF206", CLOSED),
    Case("PF207", CLOSED),
    Case("PF208", f"{OPEN} \n 5 > P. 1:6 ack 1 \n 10 > F. 6:6 ack 1 \n 210 > P. 1:6 ack 1 \n 211 < . 1:1 ack 7"),
    Case("PF209", CLOSED, flows=3, apart_ms=5000, config=Config(time_wait_many=3, ephemeral_ports=1000)),
    Case("PF210", CLOSED, flows=3, apart_ms=5000, config=Config(time_wait_many=3, ephemeral_ports=1000)),
    Case("PF211", f"{CLOSED} \n 65000 > S 70000:70000 \n 65001 < S. 90000:90000 ack 70001"),
    Case("PF212", f"{CLOSED} \n 20 < R 900000:900000"),
    Case("PF301", f"{ASKED} \n 20 < R 900000:900000 \n 300 > P. 6:11 ack 1 \n 301 < . 1:1 ack 11"),
    Case("PF302", f"{ASKED} \n 20 < P. 1:1001 ack 6 \n 21 > . 6:6 ack 1001 \n 22 > R. 6:6 ack 1001"),
    Case("PF303", f"{ASKED} \n 20 < R. 1:1 ack 6"),
    Case("PF304", f"{ASKED} \n 20 < R. 1:1 ack 6 ttl 37"),
    Case("PF305", f"{ASKED} \n 20006 > P. 6:11 ack 1 \n 20007 < R 1:1"),
    Case("PF306", "0 > P. 500:600 ack 900 \n 1 < R 900:900"),
    Case("PF306", "0 > . 500:500 ack 900 \n 1 < . 900:900 ack 500 \n 2 < R 900:900"),
    Case("PF401", f"{ASKED} \n 20 > P. 6:106 ack 1 \n 21 < . 1:1 ack 106 win 0 \n 40 < . 1:1 ack 106 win 900"),
    Case("PF402", f"{ASKED} \n 100 > P. 6:11 ack 1 \n 300 > P. 6:11 ack 1 \n 301 < . 1:1 ack 11"),
    Case(
        "PF403", f"{ASKED} \n 60000 > . 5:5 ack 1 \n 60001 < . 1:1 ack 6 \n 61000 > . 5:5 ack 1 \n 61001 < . 1:1 ack 6"
    ),
    Case(
        "PF404", f"{ASKED}" + "".join(f"\n {100 * n} > P. 6:11 ack 1" for n in (1, 3, 7, 15)) + "\n 1501 < . 1:1 ack 11"
    ),
    Case("PF901", f"{OPEN} \n 20 > P. 99:150 ack 1 \n 21 < . 1:1 ack 1 \n 30 > P. 1:99 ack 1 \n 31 < . 1:1 ack 150"),
    Case("PF901", f"{ASKED} \n 20 < . 1:1 ack 70000 \n 21 > . 6:6 ack 1 \n 30 > F. 6:6 ack 1 \n 31 < . 1:1 ack 7"),
    Case("PF902", OPEN),
    Case("PF903", f"{OPEN} \n 5 > P. 1:6 ack 1 id 7 \n 300 > P. 1:6 ack 1 id 8 \n 301 < . 1:1 ack 6"),
]
"""Near misses: what looks like it and is not."""

_WORD = re.compile(r"\b(mss|icmp) (\d+)")


def rows(case: Case, isn: tuple[int, int]) -> list[Row]:
    """All segments of a case, in order of time."""
    found = []
    for n in range(case.flows):
        for rung in filter(str.strip, case.ladder.splitlines()):
            words = {name: int(value) for name, value in _WORD.findall(rung)}
            row = _row(_WORD.sub("", rung), isn)
            found.append(_changed(row, words, FIRST_CLIENT_PORT + n, round(n * case.apart_ms * 1e6)))
    return sorted(found, key=lambda row: row.time_ns)


def _changed(row: Row, words: dict[str, int], port: int, later_ns: int) -> Row:
    segment = row.segment
    ours = segment.src == CLIENT[0]
    segment = dataclasses.replace(
        segment,
        sport=port if ours else segment.sport,
        dport=segment.dport if ours else port,
        window=words.get("icmp", segment.window),
    )
    return dataclasses.replace(
        row,
        time_ns=row.time_ns + later_ns,
        segment=segment,
        flags=ICMP_QUOTE if "icmp" in words else row.flags,
        syn_options=row.syn_options | words.get("mss", 0),
    )


def anomalies(case: Case, isn: tuple[int, int]) -> list[Anomaly]:
    """What the catalogue says of a case."""
    segments = rows(case, isn)
    last_ns = max(segments[-1].time_ns, START_NS + round(case.end_ms * 1e6))
    tables = run(segments, last_ns=last_ns, max_open_flows=case.max_open_flows)
    capture = dataclasses.replace(
        tables.capture, frames=len(segments), segments=len(segments), first_ns=START_NS, last_ns=last_ns
    )
    return find_anomalies(dataclasses.replace(tables, capture=capture), case.config)


def codes(found: Sequence[Anomaly]) -> set[str]:
    return {anomaly.code for anomaly in found}


def comparable(found: Sequence[Anomaly]) -> list[Anomaly]:
    """The rows without frames that Wireshark's marks chose."""
    return [dataclasses.replace(row, frames=()) if row.code in BY_WIRESHARK else row for row in found]


@pytest.mark.parametrize("case", SPEAKS, ids=lambda case: case.code)
def test_it_speaks_wherever_the_numbers_begin(case: Case) -> None:
    plain = anomalies(case, ISNS["plain"])

    assert case.code in codes(plain), [f"{row.code} {row.detail}" for row in plain]
    assert comparable(anomalies(case, ISNS["seq wraps"])) == comparable(plain)


@pytest.mark.parametrize("case", SILENT, ids=lambda case: case.code)
def test_it_is_silent_wherever_the_numbers_begin(case: Case) -> None:
    plain = anomalies(case, ISNS["plain"])

    assert case.code not in codes(plain), [row.detail for row in plain if row.code == case.code]
    assert anomalies(case, ISNS["seq wraps"]) == plain


def test_every_code_is_here() -> None:
    assert {case.code for case in SPEAKS} | set(NO_SEGMENTS) == {rule.code for rule in catalogue()}
