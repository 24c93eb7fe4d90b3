"""PI902: a capture of one direction only."""

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


@pattern("PI902", "one-way-capture", title="The capture holds one direction only")
def one_way_capture(case: Case) -> Sequence[Explanation]:
    """Of connections that plainly worked, the capture holds what one side sent and nothing of the other.

    Seen: one side acknowledges more and more of what the other sends, and nothing of the other is in the capture.
    Unless: the side that is seen repeats itself (then its peer does not answer), or gaps are here and there in both
        directions (then packets were lost while capturing).
    Means: nothing can be said of the side that is missing: whether it answered, closed, or reset. Its states are
        inferred from the acknowledgements of the other alone.
    Do:
        Capture: capture without a filter for one direction (`src host`); on a switch mirror both directions; where the
            two directions take different paths, capture on the host itself.
    Else: routing where answers take another way than requests.
    Source: Paxson: Automated Packet Trace Analysis of TCP Implementations (SIGCOMM 1997).
    """
    places = case.anomalies_of("PF902")
    if not places:
        return []
    flows = indices(quality(case.tables).one_way)
    capture = case.tables.capture
    seen = "client" if np.count_nonzero(case.column("client_packets")[flows]) * 2 >= len(flows) else "server"
    missing = "server" if seen == "client" else "client"
    return [
        Explanation(
            severity=Severity.LOW,
            confidence=CERTAIN,
            headline=(
                f"This capture holds only what the {seen}s sent in {number(len(flows))} of "
                f"{counted(len(case), 'connection')}: what the {missing}s did cannot be known from it."
            ),
            blame=CAPTURE,
            start_ns=capture.first_ns,
            end_ns=capture.last_ns,
            flows=named(flows),
            count=len(flows),
            explains=frozenset(places),
            why=tuple(Observation(case.anomalies[place].detail, case.anomalies[place].frames) for place in places),
            against=("the answers may take another path than the one that was captured",),
            remedy=(
                Remedy("Capture", "capture again without a filter for one direction, or on the host itself, where both "
                                  "directions pass"),
            ),
        )
    ]  # fmt: skip
