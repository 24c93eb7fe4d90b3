"""Anonymous outputs: the same connections between other addresses, under another name.

Every address is replaced by one from a private or documentation range, in order of first appearance, so that one
address stays one address. Ports, times and everything TCP says are kept: they are what the verdicts stand on. The
rules and patterns run again on the replaced tables, so no sentence names an address of the capture.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from pcapflow.analysis import Analysis
from pcapflow.anomalies.run import find_anomalies
from pcapflow.diagnosis.run import diagnose
from pcapflow.reader.capture import no_checksum
from pcapflow.result import SEGMENTS_PER_FLOW
from pcapflow.tables.table import Table, Tables
from pcapflow.tcp.states import ENDPOINT_NAMES
from pcapflow.views.hosts import host_table

if TYPE_CHECKING:
    from pcapflow.config import Config
    from pcapflow.reader.capture import Capture
    from pcapflow.tables.schema import Column
    from pcapflow.tables.segments import Segment

_BASES: Final = {
    4: int(ipaddress.IPv4Address("10.0.0.0")),  # RFC 1918
    6: int(ipaddress.IPv6Address("2001:db8::")),  # RFC 3849
}
NAME: Final = "capture"


def anonymized(analysis: Analysis) -> Analysis:
    """The same analysis without addresses, path, name and hash of the capture."""
    flows = analysis.tables.flows
    columns = dict(flows.columns)
    high, low = _replaced(flows)
    for i, side in enumerate(ENDPOINT_NAMES):
        columns[f"{side}_hi"], columns[f"{side}_lo"] = high[i], low[i]
    tables = dataclasses.replace(
        analysis.tables, flows=Table(flows.name, flows.schema, columns), capture=_unnamed(analysis.capture)
    )
    config = _with_new_addresses(analysis, tables)
    findings = find_anomalies(tables, config)
    incidents = diagnose(tables, findings, config)
    return _Anonymous(
        tables, findings, config, analysis.inputs, analysis.reader, diagnosis=incidents, original=analysis
    )


def _with_new_addresses(analysis: Analysis, tables: Tables) -> Config:
    """The settings, with the new addresses of the hosts whose stacks they name."""
    config = analysis.config
    if not config.stack_hosts:
        return config
    known = host_table(analysis.tables, config)
    names: dict[str, str] = {}
    for flow, endpoint in zip(known.flows.tolist(), known.endpoints.tolist(), strict=True):
        if name := config.stack_at(analysis.tables.ip(flow, endpoint)):
            names[tables.ip(flow, endpoint)] = name
    return dataclasses.replace(config, stack_hosts=tuple(names.items()))


@dataclasses.dataclass
class _Anonymous(Analysis):
    """Reads segments by the addresses that the capture really has; a segment itself holds none."""

    original: Analysis = dataclasses.field(kw_only=True)

    def segments(
        self, flows: Collection[int], limit: int = SEGMENTS_PER_FLOW, frames: Collection[int] = ()
    ) -> dict[int, list[Segment]]:
        return self.original.segments(flows, limit, frames)

    def ask(self, flows: Sequence[int] | None = None) -> None:
        """Asks nothing: what connections said names hosts and people."""


def _unnamed(capture: Capture) -> Capture:
    return dataclasses.replace(capture, paths=(NAME,) * len(capture.paths), name=NAME, checksum=no_checksum)


def _replaced(flows: Table) -> tuple[list[Column], list[Column]]:
    """New halves of all addresses, for both sides."""
    family = flows["family"].astype(np.int64)
    keys = np.concatenate(
        [np.stack([family, flows[f"{side}_hi"], flows[f"{side}_lo"]], axis=1) for side in ENDPOINT_NAMES]
    )
    distinct, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    which = which.ravel()
    # Client and server of one connection stand next to each other in the order of appearance.
    appearance = np.where(first < len(family), 2 * first, 2 * (first - len(family)) + 1)
    rank = np.empty(len(distinct), dtype=np.int64)
    rank[np.argsort(appearance, kind="stable")] = np.arange(1, len(distinct) + 1)
    is_v6 = distinct[:, 0] == 6
    high = np.where(is_v6, _signed(_BASES[6] >> 64), 0)[which]
    low = np.where(is_v6, rank, _BASES[4] + rank)[which]
    count = len(family)
    return [high[:count], high[count:]], [low[:count], low[count:]]


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value
