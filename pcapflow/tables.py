"""The tables: what the trackers logged, as typed columns, and as pandas data frames for whoever asks.

Rules, report and exporters work on :class:`Table`, plain numpy columns of numbers; names and addresses stay coded
until somebody reads them, which is what keeps millions of rows cheap. :func:`flows_frame` and its siblings make the
public data frames of the same rows. All schemas live here, and every table is checked against its own when made.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pcapflow.addresses import address_text, host_and_port
from pcapflow.capture import Capture
from pcapflow.tracker.marks import MARK_NAMES
from pcapflow.tracker.states import BASIS_NAMES, CLIENT, ENDPOINT_NAMES, EVENT_NAMES, STATE_NAMES
from pcapflow.zeek import CONN_STATES, conn_states, histories

if TYPE_CHECKING:
    import pandas as pd

    from pcapflow.anomalies.model import Anomaly

Column = npt.NDArray[Any]
Schema = Mapping[str, type[np.generic]]

CLOSED_BY_NAMES: Final = ("none", "client", "server", "both")
END_REASONS: Final = ("open", "closing", "closed", "aborted", "refused", "unanswered", "half-open")

_SIDE: Final[Schema] = {
    "packets": np.int64,
    "bytes": np.int64,
    "retransmitted": np.int64,
    "rtt_ns": np.int64,
    "syns": np.int32,
    "fins": np.int32,
    "rsts": np.int32,
    "first_frame": np.int64,
    "last_ns": np.int64,
    "data_ns": np.int64,
    "sent": np.int64,
    "acked": np.int64,
    "after_fin": np.int64,
    "unseen": np.int64,
    "mss": np.int32,
    "wscale": np.int32,
    "ttl": np.int32,
    "timestamps": np.int32,
    "zero_ns": np.int64,
    "zero_frame": np.int64,
}

FLOWS: Final[Schema] = {
    "flow": np.int64,
    "stream": np.int64,
    "family": np.uint8,
    "client_hi": np.int64,
    "client_lo": np.int64,
    "server_hi": np.int64,
    "server_lo": np.int64,
    "client_port": np.int32,
    "server_port": np.int32,
    "vlan": np.int32,
    "tunnel": np.int32,
    "first_frame": np.int64,
    "last_frame": np.int64,
    "start_ns": np.int64,
    "end_ns": np.int64,
    "client_state": np.uint8,
    "server_state": np.uint8,
    "closed_by": np.uint8,
    "end_reason": np.uint8,
    "completeness": np.uint8,
    "midstream": np.uint8,
    "roles_assumed": np.uint8,
    "history_1": np.int64,
    "history_2": np.int64,
    "idle_ns": np.int64,
    "idle_end_ns": np.int64,
    "idle_frame": np.int64,
    "idle_endpoint": np.int32,
    "reset_frame": np.int64,
    "reset_ns": np.int64,
    "reset_by": np.int32,
    "reset_flags": np.int32,
    "reset_window": np.int32,
    "reset_ttl": np.int32,
    "reset_options": np.int32,
    "reset_gap": np.int64,
    "reset_pending": np.int64,
    "reset_drew_frame": np.int64,
    **{f"{side}_{name}": dtype for side in ENDPOINT_NAMES for name, dtype in _SIDE.items()},
}
"""A row per connection, in order of first frame. ``*_hi`` and ``*_lo`` are the two halves of an address; ``sent`` and
``acked`` are relative sequence numbers (the SYN is 0); -1 stands for "none" wherever a value can be absent."""

TRANSITIONS: Final[Schema] = {
    "flow": np.int64,
    "endpoint": np.uint8,
    "old": np.uint8,
    "new": np.uint8,
    "time_ns": np.int64,
    "frame": np.int64,
    "event": np.uint8,
    "basis": np.uint8,
}
"""A row per change of state, in time order; codes index the name tuples of :mod:`pcapflow.tracker.states`."""

MARKS: Final[Schema] = {
    "flow": np.int64,
    "frame": np.int64,
    "time_ns": np.int64,
    "endpoint": np.uint8,
    "mark": np.uint8,
    "value": np.int64,
}
"""A row per noteworthy frame, by flow and frame; ``mark`` indexes :data:`pcapflow.tracker.marks.MARK_NAMES`."""


class Table:
    """Columns of equal length, by name, as a schema lists them."""

    def __init__(self, name: str, schema: Schema, columns: Mapping[str, Column]) -> None:
        """Checks the columns against the schema and keeps them in its order.

        Raises:
            ValueError: a column is missing, unknown, of another length, or cannot be cast without loss of kind.
        """
        if set(columns) != set(schema):
            raise ValueError(f"{name}: columns differ from the schema: {sorted(set(columns) ^ set(schema))}")
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError(f"{name}: columns of unequal length")
        self.name = name
        self.schema = schema
        self.columns = {
            key: columns[key].astype(dtype, casting="same_kind", copy=False) for key, dtype in schema.items()
        }

    def __getitem__(self, column: str) -> Column:
        return self.columns[column]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def rows(self, positions: Column | Sequence[int]) -> list[dict[str, int]]:
        """Some rows as plain Python numbers, a mapping of column to value each."""
        lists = [column[positions].tolist() for column in self.columns.values()]
        return [dict(zip(self.columns, values, strict=True)) for values in zip(*lists, strict=True)]

    def take(self, rows: Column) -> Table:
        """The rows at these positions, or where this mask is true, as a table of the same schema."""
        return Table(self.name, self.schema, {key: column[rows] for key, column in self.columns.items()})


class Kind(NamedTuple):
    """What many transitions have in common."""

    endpoint: int
    event: int
    old: int
    new: int


@dataclasses.dataclass(frozen=True)
class Tables:
    """What one capture was turned into: the three logged tables and the capture they came from."""

    flows: Table
    transitions: Table
    marks: Table
    capture: Capture

    @functools.cached_property
    def _transitions_by_flow(self) -> tuple[Column, Column]:
        """Positions in ``transitions`` by flow, and where those of each flow begin."""
        # Sorting one number that holds flow and position is several times faster than a stable argsort.
        flow = self.transitions["flow"]
        keys = flow << 32
        keys |= np.arange(len(flow), dtype=np.int64)
        keys.sort()
        keys &= 0xFFFF_FFFF
        starts = np.zeros(len(self.flows) + 1, dtype=np.int64)
        np.cumsum(np.bincount(flow, minlength=len(self.flows)), out=starts[1:])
        return keys.astype(np.uint32), starts

    @functools.cached_property
    def transitions_by_kind(self) -> dict[Kind, Column]:
        """Positions in ``transitions``, in time order, by kind: there are but a few dozen kinds."""
        kinds = self.transitions["endpoint"].astype(np.uint16)
        for column in ("event", "old", "new"):
            kinds <<= 4
            kinds |= self.transitions[column]
        # Sixteen bits are sorted by counting them.
        order = np.argsort(kinds, kind="stable").astype(np.uint32)
        sizes = np.bincount(kinds)
        codes = np.flatnonzero(sizes)
        parts = np.split(order, np.cumsum(sizes[codes]))[:-1]
        return {
            Kind(code >> 12, code >> 8 & 15, code >> 4 & 15, code & 15): rows
            for code, rows in zip(codes.tolist(), parts, strict=True)
        }

    def transitions_of(self, flow: int) -> Column:
        """Positions of this flow's rows in ``transitions``, in time order."""
        order, starts = self._transitions_by_flow
        return order[starts[flow] : starts[flow + 1]]

    def marks_of(self, flow: int) -> Column:
        """Positions of this flow's rows in ``marks``, in order of frames."""
        first, last = np.searchsorted(self.marks["flow"], (flow, flow + 1))
        return np.arange(first, last)

    def ip(self, flow: int, endpoint: int) -> str:
        """The address of one endpoint, as text."""
        side = ENDPOINT_NAMES[endpoint]
        return address_text(
            int(self.flows["family"][flow]), int(self.flows[f"{side}_hi"][flow]), int(self.flows[f"{side}_lo"][flow])
        )

    def name(self, flow: int, endpoint: int) -> str:
        """``address:port`` of one endpoint; an IPv6 address stands in brackets."""
        return host_and_port(self.ip(flow, endpoint), int(self.flows[f"{ENDPOINT_NAMES[endpoint]}_port"][flow]))

    def client(self, flow: int) -> str:
        """``address:port`` of the client."""
        return self.name(flow, CLIENT)

    def server(self, flow: int) -> str:
        """``address:port`` of the server."""
        return self.name(flow, 1 - CLIENT)


def flows_frame(tables: Tables) -> pd.DataFrame:
    """The public ``flows`` table.

    Returns:
        A row per connection in order of first frame: ``flow``, ``stream``, addresses and ports of both sides,
        ``first_frame``, ``last_frame``, ``start`` and ``end`` (datetime64[ns, UTC]), ``duration_s``, states at the
        end, ``closed_by``, ``end_reason``, ``completeness``, ``conn_state`` and ``history`` (Zeek's),
        ``community_id``, and per side ``*_packets``, ``*_bytes``,
        ``*_retransmitted``, ``*_rtt_ms`` (NA where none could be measured); ``tunnel`` and ``vlan`` (NA without).
    """
    import pandas as pd

    from pcapflow.community_id import community_ids

    t = tables.flows
    columns: dict[str, Any] = {"flow": t["flow"], "stream": t["stream"]}
    for side in ENDPOINT_NAMES:
        columns[f"{side}_ip"] = pd.array(_addresses(t, side), dtype="str")
        columns[f"{side}_port"] = t[f"{side}_port"].astype(np.int64)
    columns["first_frame"] = t["first_frame"]
    columns["last_frame"] = t["last_frame"]
    columns["start"] = _times(t["start_ns"])
    columns["end"] = _times(t["end_ns"])
    columns["duration_s"] = (t["end_ns"] - t["start_ns"]) / 1e9
    columns["client_state"] = _names(t["client_state"], STATE_NAMES)
    columns["server_state"] = _names(t["server_state"], STATE_NAMES)
    columns["closed_by"] = _names(t["closed_by"], CLOSED_BY_NAMES)
    columns["end_reason"] = _names(t["end_reason"], END_REASONS)
    columns["completeness"] = t["completeness"].astype(np.int64)
    columns["conn_state"] = _names(conn_states(t), CONN_STATES)
    columns["history"] = pd.array(histories(t), dtype="str")
    columns["community_id"] = pd.array(community_ids(t), dtype="str")
    for side in ENDPOINT_NAMES:
        for name in ("packets", "bytes", "retransmitted"):
            columns[f"{side}_{name}"] = t[f"{side}_{name}"]
        rtt = t[f"{side}_rtt_ns"]
        columns[f"{side}_rtt_ms"] = pd.array(np.where(rtt < 0, 0, rtt) / 1e6, dtype="Float64")
        columns[f"{side}_rtt_ms"][rtt < 0] = pd.NA
    columns["midstream"] = t["midstream"].astype(bool)
    columns["tunnel"] = _names(t["tunnel"], tables.capture.tunnels)
    columns["vlan"] = pd.array(np.where(t["vlan"] < 0, 0, t["vlan"]), dtype="Int64")
    columns["vlan"][t["vlan"] < 0] = pd.NA
    return pd.DataFrame(columns)


def transitions_frame(tables: Tables) -> pd.DataFrame:
    """The public ``transitions`` table.

    Returns:
        A row per change of state in time order: ``flow``, ``endpoint``, ``old``, ``new``, ``time``
        (datetime64[ns, UTC]), ``frame``, ``event``, ``basis``.
    """
    import pandas as pd

    t = tables.transitions
    return pd.DataFrame(
        {
            "flow": t["flow"],
            "endpoint": _names(t["endpoint"], ENDPOINT_NAMES),
            "old": _names(t["old"], STATE_NAMES),
            "new": _names(t["new"], STATE_NAMES),
            "time": _times(t["time_ns"]),
            "frame": t["frame"],
            "event": _names(t["event"], EVENT_NAMES),
            "basis": _names(t["basis"], BASIS_NAMES),
        }
    )


def marks_frame(tables: Tables) -> pd.DataFrame:
    """The public ``marks`` table.

    Returns:
        A row per noteworthy frame: ``flow``, ``frame``, ``time`` (datetime64[ns, UTC]), ``endpoint`` (the frame's
        sender), ``mark``, ``value``.
    """
    import pandas as pd

    t = tables.marks
    return pd.DataFrame(
        {
            "flow": t["flow"],
            "frame": t["frame"],
            "time": _times(t["time_ns"]),
            "endpoint": _names(t["endpoint"], ENDPOINT_NAMES),
            "mark": _names(t["mark"], MARK_NAMES),
            "value": t["value"],
        }
    )


def anomalies_frame(anomalies: Sequence[Anomaly]) -> pd.DataFrame:
    """The public ``anomalies`` table.

    Returns:
        A row per anomaly, worst first: ``code``, ``name``, ``severity``, ``flow`` (NA for one that speaks of many),
        ``endpoint`` (NA where nobody is to blame), ``time``, ``frames`` (a list), ``detail``, ``cause`` (NA without),
        ``confidence``, ``alternatives`` (a list), ``count``.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "code": pd.array([a.code for a in anomalies], dtype="str"),
            "name": pd.array([a.name for a in anomalies], dtype="str"),
            "severity": pd.Categorical([a.severity.label for a in anomalies], _severity_labels(), ordered=True),
            "flow": pd.array([pd.NA if a.flow < 0 else a.flow for a in anomalies], dtype="Int64"),
            "endpoint": pd.Categorical([_endpoint(a.endpoint) for a in anomalies], ENDPOINT_NAMES),
            "time": _times(np.array([a.time_ns for a in anomalies], dtype=np.int64)),
            "frames": pd.Series([list(a.frames) for a in anomalies], dtype=object),
            "detail": pd.array([a.detail for a in anomalies], dtype="str"),
            "cause": pd.array([a.cause or pd.NA for a in anomalies], dtype="str"),
            "confidence": pd.array([a.confidence for a in anomalies], dtype="str"),
            "alternatives": pd.Series([list(a.alternatives) for a in anomalies], dtype=object),
            "count": np.array([a.count for a in anomalies], dtype=np.int64),
        }
    )


def _severity_labels() -> list[str]:
    from pcapflow.anomalies.model import Severity

    return [severity.label for severity in Severity]


def _endpoint(code: int) -> str | None:
    return ENDPOINT_NAMES[code] if code >= 0 else None


def _addresses(t: Table, side: str) -> list[str]:
    # A capture has few hosts and many flows: each distinct address is formatted once.
    keys = np.stack([t["family"].astype(np.int64), t[f"{side}_hi"], t[f"{side}_lo"]], axis=1)
    distinct, which = np.unique(keys, axis=0, return_inverse=True)
    texts = [address_text(*map(int, row)) for row in distinct]
    return [texts[i] for i in which.ravel()]


def _times(ns: Column) -> Any:
    import pandas as pd

    return pd.Series(pd.to_datetime(ns, unit="ns", utc=True)).astype("datetime64[ns, UTC]")


def _names(codes: Column, names: Sequence[str]) -> Any:
    import pandas as pd

    return pd.Categorical.from_codes(codes.astype(np.int16), categories=pd.Index(list(names), dtype="str"))
