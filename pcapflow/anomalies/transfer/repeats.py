"""What rules about repeated segments share."""

from __future__ import annotations

from typing import Final

import numpy as np

from pcapflow.anomalies.lookup.columns import SIDES
from pcapflow.anomalies.model import IntArray
from pcapflow.tcp import marks

REPEATS: Final = (marks.RETRANSMISSION, marks.FAST_RETRANSMISSION, marks.SPURIOUS_RETRANSMISSION)


def both(per_side: list[IntArray]) -> tuple[IntArray, IntArray]:
    """Flows and endpoints of two lists of flows, the client's and the server's."""
    return np.concatenate(per_side), np.repeat(np.array(SIDES), [len(flows) for flows in per_side])
