"""The public data frames: the tables' rows with names in place of codes, for people who work with pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pcapflow.anomalies.model import Anomaly, Severity
from pcapflow.config import Config
from pcapflow.diagnosis.model import Incident
from pcapflow.payload.said import NOTHING, Payload
from pcapflow.result import Result
from pcapflow.tables.community_id import community_ids
from pcapflow.tables.moments import Moments
from pcapflow.tables.schema import Column
from pcapflow.tables.table import Table, Tables
from pcapflow.tables.zeek import CONN_STATES, conn_states, histories
from pcapflow.tcp.endings import CLOSED_BY_NAMES, END_REASONS
from pcapflow.tcp.marks import MARK_NAMES
from pcapflow.tcp.owed import OWED_NAMES
from pcapflow.tcp.states import BASIS_NAMES, ENDPOINT_NAMES, EVENT_NAMES, STATE_NAMES
from pcapflow.text.addresses import address_text
from pcapflow.views.hosts import host_table

Frame = pd.DataFrame


def frames(result: Result) -> dict[str, Frame]:
    """All tables of a run by name: ``flows``, ``transitions``, ``anomalies``, ``marks``, ``incidents``, ``hosts``."""
    return {
        "flows": flows_frame(result.tables, result.payload),
        "transitions": transitions_frame(result.tables),
        "anomalies": anomalies_frame(result.findings),
        "marks": marks_frame(result.tables),
        "incidents": incidents_frame(result.diagnosis),
        "hosts": hosts_frame(result.tables, result.config),
    }


def flows_frame(tables: Tables, payload: Payload = NOTHING) -> Frame:
    """The public ``flows`` table.

    Returns:
        A row per connection in order of first frame: ``flow``, ``stream``, addresses and ports of both sides,
        ``first_frame``, ``last_frame``, ``start`` and ``end`` (datetime64[ns, UTC]), ``duration_s``, states at the
        end, ``closed_by``, ``end_reason``, ``completeness``, ``conn_state`` and ``history`` (Zeek's),
        ``community_id``, and per side ``*_packets``, ``*_bytes``,
        ``*_retransmitted``, ``*_rtt_ms`` (NA where none could be measured); ``tunnel`` and ``vlan`` (NA without).

        Of its conversation, NA where there is none: ``handshake_ms``, from the first SYN to the ACK that completes the
        handshake; ``first_byte_ms``, from the client's first payload to the server's first after it, or from the
        handshake to the server's where that speaks first; ``turns``, how often the payload changed its direction;
        ``answer_ms``, the longest time from the client's last payload to the first of the server's answer;
        ``idle_s``, the longest silence, with ``idle_owed`` (``ack`` for something that was sent; ``close``, a FIN, by
        the endpoint whose peer sent one; ``answer``, by the endpoint that had not spoken last, be it the client's next
        request; ``nothing``) and ``idle_owed_by`` (an endpoint); ``pause_s``, the longest silence between two segments
        with new payload; ``quiet_before_close_s``, for how long no payload had passed at the first FIN or RST, what an
        endpoint said in closing aside, or for how long the connection was established without any; ``what``, what
        it said in a few words (NA where that was not asked or is not known).
    """
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
        columns[f"{side}_rtt_ms"] = _durations(t[f"{side}_rtt_ns"], 1e6)
    columns["midstream"] = t["midstream"].astype(bool)
    columns["tunnel"] = _names(t["tunnel"], tables.capture.tunnels)
    columns["vlan"] = pd.array(np.where(t["vlan"] < 0, 0, t["vlan"]), dtype="Int64")
    columns["vlan"][t["vlan"] < 0] = pd.NA
    moments = Moments(tables)
    for name, ns in (
        ("handshake_ms", moments.handshake_ns),
        ("first_byte_ms", moments.first_byte_ns),
        ("answer_ms", t["answer_ns"]),
    ):
        columns[name] = _durations(ns, 1e6)
    columns["turns"] = t["turns"]
    columns["idle_s"] = t["idle_ns"] / 1e9
    columns["idle_owed"] = _names(t["idle_owed"], OWED_NAMES)
    columns["idle_owed_by"] = _names(t["idle_owed_by"], ENDPOINT_NAMES)
    columns["pause_s"] = _durations(t["pause_ns"], 1e9)
    columns["quiet_before_close_s"] = _durations(moments.quiet_before_close_ns, 1e9)
    columns["what"] = _what(len(t), payload)
    return pd.DataFrame(columns)


def transitions_frame(tables: Tables) -> Frame:
    """The public ``transitions`` table.

    Returns:
        A row per change of state in time order: ``flow``, ``endpoint``, ``old``, ``new``, ``time``
        (datetime64[ns, UTC]), ``frame``, ``event``, ``basis``.
    """
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


def marks_frame(tables: Tables) -> Frame:
    """The public ``marks`` table.

    Returns:
        A row per noteworthy frame: ``flow``, ``frame``, ``time`` (datetime64[ns, UTC]), ``endpoint`` (the frame's
        sender), ``mark``, ``value``.
    """
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


def anomalies_frame(anomalies: Sequence[Anomaly]) -> Frame:
    """The public ``anomalies`` table.

    Returns:
        A row per anomaly, worst first: ``code``, ``name``, ``severity``, ``flow`` (NA for one that speaks of many),
        ``endpoint`` (NA where nobody is to blame), ``time``, ``frames`` (a list), ``detail``, ``cause`` (NA without),
        ``confidence``, ``alternatives`` (a list), ``count``.
    """
    return pd.DataFrame(
        {
            "code": pd.array([a.code for a in anomalies], dtype="str"),
            "name": pd.array([a.name for a in anomalies], dtype="str"),
            "severity": _severities(anomalies),
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


def incidents_frame(incidents: Sequence[Incident]) -> Frame:
    """The public ``incidents`` table.

    Returns:
        A row per incident, worst first: ``incident`` (its number), ``pattern``, ``code``, ``severity``,
        ``confidence``, ``headline``, ``blame`` (in words; ``nobody`` where it is nobody's), ``start`` and ``end``
        (datetime64[ns, UTC]), ``flows`` (how many connections), ``hosts`` (a list of addresses), ``anomalies`` (a list
        of rows of the ``anomalies`` table), ``frames`` (a list), ``why``, ``against`` and ``remedy`` (lists of
        sentences, those of ``remedy`` with the side that should act).
    """
    return pd.DataFrame(
        {
            "incident": np.array([i.number for i in incidents], dtype=np.int64),
            "pattern": pd.array([i.pattern for i in incidents], dtype="str"),
            "code": pd.array([i.code for i in incidents], dtype="str"),
            "severity": _severities(incidents),
            "confidence": pd.array([i.confidence for i in incidents], dtype="str"),
            "headline": pd.array([i.headline for i in incidents], dtype="str"),
            "blame": pd.array([i.blame.text for i in incidents], dtype="str"),
            "start": _times(np.array([i.start_ns for i in incidents], dtype=np.int64)),
            "end": _times(np.array([i.end_ns for i in incidents], dtype=np.int64)),
            "flows": np.array([i.count for i in incidents], dtype=np.int64),
            "hosts": pd.Series([list(i.hosts) for i in incidents], dtype=object),
            "anomalies": pd.Series([sorted(i.explains) for i in incidents], dtype=object),
            "frames": pd.Series([list(i.frames) for i in incidents], dtype=object),
            "why": pd.Series([[observation.text for observation in i.why] for i in incidents], dtype=object),
            "against": pd.Series([list(i.against) for i in incidents], dtype=object),
            "remedy": pd.Series([[f"{step.side}: {step.text}" for step in i.remedy] for i in incidents], dtype=object),
        }
    )


def _severities(rows: Sequence[Anomaly] | Sequence[Incident]) -> Any:
    labels = [severity.label for severity in Severity]
    return pd.Categorical([row.severity.label for row in rows], labels, ordered=True)


def _endpoint(code: int) -> str | None:
    return ENDPOINT_NAMES[code] if code >= 0 else None


def hosts_frame(tables: Tables, config: Config) -> Frame:
    """The public ``hosts`` table.

    Returns:
        A row per host that completed a handshake, sent payload or a FIN, or answered a SYN, the busiest first:
        ``host`` (its address), ``vlan`` and ``tunnel`` (NA without), ``as_client`` and ``as_server`` (connections that
        it opened, and that were opened to it).

        A guess by the SYNs that it sent: ``stack`` (NA where no known stack sends such ones), ``stack_confidence``
        (``likely`` or ``possible``), ``stack_why`` (the SYN); ``ttl`` (with which its packets begin) and ``hops``
        (routers that they passed at least).

        Measured, NA where it could not be: ``timestamps`` (``yes``, ``no``, ``some``: whether its SYNs bore them),
        ``clock_hz`` (of its time stamps, the median of its connections), ``initial_rto_s`` (after how long it repeated
        its first SYN, the median), ``resets_with_timestamps`` and ``resets_without_timestamps`` (of its connections
        that have them), ``first_port`` and ``last_port`` (the lowest and the highest that it took as a client).

        ``ephemeral_ports`` (how many it has as a client; NA of one that never was), and ``ephemeral_basis``:
        ``measured`` by those it took, ``configured`` or ``assumed``; ``time_wait_s`` (how long TIME_WAIT lasts) and
        ``time_wait_basis``: ``configured`` or ``assumed``.
    """
    hosts = host_table(tables, config).rows
    ports = [host.ports for host in hosts]
    return pd.DataFrame(
        {
            "host": _texts([host.address for host in hosts]),
            "vlan": _counts([host.vlan for host in hosts]),
            "tunnel": _texts([tables.capture.tunnels[host.tunnel] if host.tunnel else "" for host in hosts]),
            "as_client": np.array([host.as_client for host in hosts], dtype=np.int64),
            "as_server": np.array([host.as_server for host in hosts], dtype=np.int64),
            "stack": _texts([host.guess.stack for host in hosts]),
            "stack_confidence": _texts([host.guess.confidence for host in hosts]),
            "stack_why": _texts([host.guess.why for host in hosts]),
            "ttl": _counts([host.ttl for host in hosts]),
            "hops": _counts([host.hops for host in hosts]),
            "timestamps": _texts([host.timestamps for host in hosts]),
            "clock_hz": _counts([host.clock_hz for host in hosts]),
            "initial_rto_s": _durations(np.array([host.initial_rto_s for host in hosts], dtype=np.float64), 1),
            "resets_with_timestamps": np.array([host.resets_with for host in hosts], dtype=np.int64),
            "resets_without_timestamps": np.array([host.resets_without for host in hosts], dtype=np.int64),
            "first_port": _counts([host.first_port for host in hosts]),
            "last_port": _counts([host.last_port for host in hosts]),
            "ephemeral_ports": _counts([each.number if each else -1 for each in ports]),
            "ephemeral_basis": _texts([each.basis if each else "" for each in ports]),
            "time_wait_s": np.array([host.time_wait_s for host in hosts], dtype=np.float64),
            "time_wait_basis": _texts([host.time_wait_basis for host in hosts]),
        }
    )


def _texts(texts: Sequence[str]) -> Any:
    """Text, NA where it is empty."""
    return pd.array([text or pd.NA for text in texts], dtype="str")


def _counts(numbers: Sequence[int]) -> Any:
    """Whole numbers, NA where they are below zero."""
    return pd.array([pd.NA if number < 0 else number for number in numbers], dtype="Int64")


def _addresses(t: Table, side: str) -> list[str]:
    # A capture has few hosts and many flows: each distinct address is formatted once.
    keys = np.stack([t["family"].astype(np.int64), t[f"{side}_hi"], t[f"{side}_lo"]], axis=1)
    distinct, which = np.unique(keys, axis=0, return_inverse=True)
    texts = [address_text(*map(int, row)) for row in distinct]
    return [texts[i] for i in which.ravel()]


def _what(count: int, payload: Payload) -> Any:
    texts = np.full(count, pd.NA, dtype=object)
    for flow, said in payload.said.items():
        texts[flow] = said.what
    return pd.array(texts, dtype="str")


def _times(ns: Column) -> Any:
    return pd.Series(pd.to_datetime(ns, unit="ns", utc=True)).astype("datetime64[ns, UTC]")


def _durations(ns: Column, unit_ns: float) -> Any:
    """Nanoseconds in another unit, NA where they are below zero."""
    durations = pd.array(np.where(ns < 0, 0, ns) / unit_ns, dtype="Float64")
    durations[ns < 0] = pd.NA
    return durations


def _names(codes: Column, names: Sequence[str]) -> Any:
    return pd.Categorical.from_codes(codes.astype(np.int16), categories=pd.Index(list(names), dtype="str"))
