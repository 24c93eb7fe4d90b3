"""PI901: a capture that lacks packets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.lookup.columns import indices
from pcapflow.anomalies.model import CERTAIN, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import CAPTURE, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.text.phrases import counted, number


@pattern("PI901", "capture-loss", title="The capture lacks packets")
def capture_loss(case: Case) -> Sequence[Explanation]:
    """Both endpoints had packets that the capture does not have: it was the capture that lost them.

    Seen: bytes that were acknowledged and never sent again, and that the capture does not hold; or a count of packets
        that the capturing program says it dropped.
    Unless: the bytes were sent again (then the network lost them), or one direction is missing as a whole.
    Means: what is absent from this capture proves nothing. Missing answers, ACKs and FINs may have been there.
    Do:
        Capture: give the capturing program a larger buffer (`tcpdump -B 65536`), cut packets (`-s 128`), filter to the
            hosts in question, and write to a fast disk; `tcpdump` says at its end how many packets the kernel dropped.
    Else: a mirror port that carries more than its line, or a path on which some packets take another way.
    Source: RFC 9293, 3.4 (an acknowledgement covers what was received); Paxson: Automated Packet Trace Analysis (1997).
    """
    places = case.anomalies_of("PF901")
    dropped = case.tables.capture.dropped
    if not places and dropped <= 0:
        return []
    unseen = quality(case.tables).unseen
    flows = indices(unseen > 0)
    flows = flows[np.argsort(-unseen[flows], kind="stable")]
    capture = case.tables.capture
    lacks = []
    if len(flows):
        of = f"{number(len(flows))} of its {counted(len(case), 'connection')}"
        lacks.append(f"at least {counted(int(unseen.sum()), 'byte')} of {of}")
    if dropped > 0:
        lacks.append(f"{counted(dropped, 'packet')} that the capturing program dropped")
    lacking = " and ".join(lacks)
    headline = f"This capture is incomplete: it lacks {lacking}, so what it does not show may well have happened."
    again = (
        "with a larger buffer (`tcpdump -B 65536`), shorter packets (`-s 128`) and a filter for the hosts in question"
    )
    if not np.any(case.column("client_bytes") + case.column("server_bytes") > 0):
        headline = f"This capture holds no data at all: it lacks {lacking}, so what was said, and when, is not known."
        again = "without the filter that let no data pass, such as one for SYN, FIN and RST"
    why = [Observation(case.anomalies[place].detail, case.anomalies[place].frames) for place in places]
    if dropped > 0:
        why.append(Observation(f"the capturing program counted {counted(dropped, 'packet')} as dropped"))
    return [
        Explanation(
            severity=max((case.anomalies[place].severity for place in places), default=Severity.LOW),
            confidence=CERTAIN,
            headline=headline,
            blame=CAPTURE,
            start_ns=capture.first_ns,
            end_ns=capture.last_ns,
            flows=named(flows),
            count=len(flows),
            explains=frozenset(places),
            why=tuple(why),
            remedy=(Remedy("Capture", f"capture again {again}"),),
        )
    ]
