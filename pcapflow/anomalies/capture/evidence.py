"""PF901 to PF903: packets that the capture lacks, or holds more than once."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.cite import proof
from pcapflow.anomalies.hits import single
from pcapflow.anomalies.lookup.columns import SIDES, among, indices, side
from pcapflow.anomalies.lookup.timeline import rows_with
from pcapflow.anomalies.model import CERTAIN, LIKELY, MAX_FLOWS, Finding, Hits, IntArray, Severity
from pcapflow.anomalies.rule import Limit, rule
from pcapflow.config import Config
from pcapflow.tables.table import Table, Tables
from pcapflow.tcp import marks
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, listed, were

MANY_UNSEEN_PERCENT: Final = 5
PART_ONE_WAY_PERCENT: Final = 10
HOSTS_NAMED: Final = 3


def _first_frames(table: Table, rows: IntArray) -> tuple[int, ...]:
    return proof(np.sort(table["frame"][rows])[:8].tolist())


def _acks_of_missing(tables: Tables, flows: IntArray) -> tuple[int, ...]:
    """The first frames on these flows that acknowledge what had not passed by then."""
    rows = rows_with(tables, marks.MARK_ACKED_MISSING)
    return _first_frames(tables.marks, rows[among(tables.marks["flow"][rows], flows)])


@rule("PF901", "capture-incomplete", title="Packets missing from the capture", limit=Limit.GAPS)
def capture_incomplete(tables: Tables, config: Config) -> Hits:
    """Bytes were acknowledged that the capture does not hold and that nobody sent again.

    Means: the packets were on the wire and arrived, but the capture missed them: the capturing program was too slow, or
        part of the traffic takes another way. It is no loss in the network, where the sender would have repeated them.
    Do:
        Capture: use a larger buffer (`tcpdump -B 65536`), a shorter snap length (`-s 128`), a filter, or a faster disk.
        Network: on a mirror port, see whether both directions together exceed its speed.
    Else: with bonded links or several paths only some of them may be mirrored.
    Source: Wireshark's tcp.analysis.ack_lost_segment; the drop counters of pcapng interface statistics.
    """
    del config
    known, capture, f = quality(tables), tables.capture, tables.flows
    flows = indices(known.unseen > 0)
    if not len(flows) and capture.dropped <= 0:
        return single(None)
    unseen = int(known.unseen.sum())
    total = int(sum(side(f, endpoint, "bytes").sum() for endpoint in SIDES)) + unseen
    parts = []
    if len(flows):
        parts.append(
            f"on {counted(len(flows), 'connection')} of {len(f):,} at least {were(unseen, 'byte')} acknowledged that "
            "the capture does not hold"
        )
    if capture.dropped > 0:
        parts.append(f"the capturing program lost {counted(capture.dropped, 'packet')} by its own count")
    worst = flows[np.argsort(-known.unseen[flows], kind="stable")]
    grave = unseen * 100 > MANY_UNSEEN_PERCENT * total
    return single(
        Finding(
            severity=Severity.MEDIUM if grave else Severity.LOW,
            time_ns=capture.first_ns,
            frames=_acks_of_missing(tables, flows),
            detail="; ".join(parts),
            count=len(flows),
            flows=tuple(worst[:MAX_FLOWS].tolist()),
        )
    )


def _hosts_cut(tables: Tables, flows: IntArray) -> str:
    """The hosts of which these flows are all: those on the side, heard or silent, where they are fewer."""
    speaks = np.where(side(tables.flows, CLIENT, "packets")[flows] > 0, CLIENT, SERVER)
    sides = zip(flows.tolist(), speaks.tolist(), strict=True)
    pairs = {(tables.ip(flow, speaker), tables.ip(flow, 1 - speaker)) for flow, speaker in sides}
    speakers, listeners = ({pair[at] for pair in pairs} for at in (0, 1))
    hosts = sorted(speakers if len(speakers) <= len(listeners) else listeners)
    more = [f"{len(hosts) - HOSTS_NAMED:,} more"] if len(hosts) > HOSTS_NAMED else []
    return listed([*hosts[:HOSTS_NAMED], *more])


@rule("PF902", "one-way-capture", title="Only one direction was captured", limit=Limit.DIRECTIONS)
def one_way_capture(tables: Tables, config: Config) -> Hits:
    """Of connections that plainly worked, the capture holds one direction only.

    Means: the visible side goes on as if it were answered, but no answer is there: the other direction takes another
        way, or a filter cut it off. Verdicts about the side that is not seen are withheld.
    Do:
        Capture: capture where both directions pass, on one of the two hosts at best; filter by host and not by source.
        Network: with several paths, mirror all of them into one capture.
    Else: if connections are meant to be one-way here (asymmetric routing), capture at an endpoint instead.
    Source: a segment after a SYN, or a series of them that is not a repetition, is sent to somebody who answers.
    """
    del config
    known, f = quality(tables), tables.flows
    flows = indices(known.one_way)
    whole = known.direction_missing
    of_hosts = flows[known.cut[flows]]
    few = len(flows) * 100 < PART_ONE_WAY_PERCENT * (len(flows) + known.two_way)
    if not len(flows) or (few and not len(of_hosts)):
        return single(None)
    if len(of_hosts) and not whole:
        flows = of_hosts if few else flows
    total = int(np.count_nonzero(known.one_way)) + known.two_way
    scope = "all" if whole else f"{len(flows):,} of {total:,}"
    seen = int(np.count_nonzero(side(f, CLIENT, "packets")[flows] > 0))
    parts = [f"{n:,} from the {name}" for n, name in ((seen, "client"), (len(flows) - seen, "server")) if n]
    hosts = f", among them all of {_hosts_cut(tables, of_hosts[:MAX_FLOWS])}" if len(of_hosts) and not whole else ""
    return single(
        Finding(
            severity=Severity.MEDIUM if whole else Severity.LOW,
            time_ns=int(f["start_ns"][flows].min()),
            frames=proof(f["first_frame"][flows[:8]].tolist()),
            detail=(
                f"{scope} connections with data were captured in one direction only ({listed(parts)}){hosts}; verdicts "
                "about the other side are withheld"
            ),
            confidence=CERTAIN if whole else LIKELY,
            count=len(flows),
            flows=tuple(flows[:MAX_FLOWS].tolist()),
        )
    )


@rule("PF903", "duplicated-packets", title="Packets captured more than once", limit=Limit.COPIES)
def duplicated_packets(tables: Tables, config: Config) -> Hits:
    """The capture holds copies of the same packet, milliseconds apart.

    Means: the packets passed the capture point twice: a mirror port that copies both ingress and egress, or the
        pseudo-interface `any`. Each is analysed once; nothing was sent twice.
    Do:
        Capture: mirror one direction of each port, or capture on one interface.
    Else: real repetitions carry a new IP identification or come later, and are counted as retransmissions.
    Source: the same approach as editcap -d: equal packets within a short time.
    """
    del config
    rows = rows_with(tables, marks.MARK_DUPLICATE_PACKET)
    if not len(rows):
        return single(None)
    flows = indices(np.bincount(tables.marks["flow"][rows]) > 0)
    return single(
        Finding(
            severity=Severity.INFO,
            time_ns=int(tables.marks["time_ns"][rows].min()),
            frames=_first_frames(tables.marks, rows),
            detail=(
                f"at least {len(rows):,} of {counted(tables.capture.segments, 'TCP segment')} are copies of a packet "
                f"just before them, on {counted(len(flows), 'connection')}; each packet was analysed once"
            ),
            confidence=LIKELY,
            count=len(flows),
            flows=tuple(flows[:MAX_FLOWS].tolist()),
        )
    )
