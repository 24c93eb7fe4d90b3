r"""JSON: the capture, its figures, its incidents and its anomalies, for programs.

The document is an object with these members. Members are only ever added under the same ``schema``.

- ``schema``: ``"pcapflow-1"``; ``version``: of pcapflow.
- ``capture``: the attributes of :class:`pcapflow.reader.capture.Capture`, with ``sha256`` for ``checksum``, and
  ``first`` and ``last`` (the times of the earliest and latest frame, null without frames) for ``first_ns`` and
  ``last_ns``.
- ``summary``: ``flows`` (connections), ``end_reasons``, ``client_states`` and ``server_states`` (connections by the
  side's state at the end), ``severities`` (connections that anomalies stand for).
- ``anomalies``: worst first, each with ``code``, ``name``, ``severity``, ``flow`` (null for one that speaks of many),
  ``endpoint`` (``client``, ``server``, or null), ``time``, ``frames``, ``detail``, ``cause`` (null without),
  ``confidence``, ``alternatives``, ``count``.
- ``incidents``: what happened, worst first, each with ``incident`` (its number), ``pattern``, ``code``, ``severity``,
  ``confidence``, ``headline``, ``blame`` (``kind``: endpoint, host, path, capture or nobody; ``who``; ``side``: client,
  server or null), ``start``, ``end``, ``flows`` (how many connections), ``hosts``, ``anomalies`` (positions in the list
  of that name), ``frames``, ``why`` (each ``text`` and ``frames``), ``against``, ``remedy`` (each ``side`` and
  ``text``).
- ``flows``: the connections that an anomaly names, each with ``flow``, ``stream``, ``client``, ``server`` (address and
  port), ``first_frame``, ``last_frame``, ``start``, ``end``, ``client_state``, ``server_state``, ``closed_by``,
  ``end_reason``, ``completeness``, and per side ``*_packets``, ``*_bytes``, ``*_retransmitted``, ``*_rtt_ms`` (null
  where it could not be measured); ``handshake_ms``, ``first_byte_ms``, ``answer_ms``, ``turns``, ``idle_s``,
  ``idle_owed``, ``idle_owed_by``, ``pause_s``, ``quiet_before_close_s`` and ``what``, which
  :func:`pcapflow.export.frames.flows_frame` describes (null where there is none). All connections are in the tables
  (``--tables``).
- ``hosts``: those that incidents and anomalies name and the busiest others, at most 200, the busiest first, each with
  ``host``, ``vlan`` and ``tunnel`` (null without), ``as_client``, ``as_server``, ``stack``, ``stack_confidence``,
  ``stack_why``, ``ttl``, ``hops``, ``timestamps``, ``clock_hz``, ``initial_rto_s``, ``resets_with_timestamps``,
  ``resets_without_timestamps``, ``first_port``, ``last_port``, ``ephemeral_ports``, ``ephemeral_basis``,
  ``time_wait_s`` and ``time_wait_basis``, which :func:`pcapflow.export.frames.hosts_frame` describes (null for NA).

What a file name or the capture put into a text and cannot be shown is an escape: ``\xff`` for a byte that is not
UTF-8. Times are text as in RFC 3339, in UTC, with nine digits of the second.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Final

from pcapflow.reader.capture import no_checksum
from pcapflow.tables.moments import Moments
from pcapflow.tcp.endings import CLOSED_BY_NAMES, END_REASONS
from pcapflow.tcp.owed import OWED_NAMES
from pcapflow.tcp.states import ENDPOINT_NAMES, STATE_NAMES
from pcapflow.text.escape import printable
from pcapflow.text.times import rfc3339
from pcapflow.version import __version__
from pcapflow.views.hosts import Host, host_table, shown_hosts
from pcapflow.views.summary import summarise

if TYPE_CHECKING:
    from pcapflow.anomalies.model import Anomaly
    from pcapflow.diagnosis.model import Incident
    from pcapflow.reader.capture import Capture
    from pcapflow.result import Result
    from pcapflow.tables.table import Tables

SCHEMA: Final = "pcapflow-1"


def to_json(result: Result) -> str:
    """The analysis as JSON text that ends with a newline; the members are described above."""
    return json.dumps(document(result), indent=2, ensure_ascii=False) + "\n"


def document(result: Result) -> dict[str, Any]:
    """The analysis as plain dictionaries, lists, numbers and text."""
    summary = summarise(result.tables, result.findings)
    named = sorted({anomaly.flow for anomaly in result.findings if anomaly.flow >= 0})
    moments = Moments(result.tables)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "capture": _capture(result.capture),
        "summary": {
            "flows": summary.flows,
            "end_reasons": summary.end_reasons,
            "client_states": summary.states[0],
            "server_states": summary.states[1],
            "severities": summary.severities,
        },
        "incidents": [_incident(incident) for incident in result.diagnosis],
        "anomalies": [_anomaly(anomaly) for anomaly in result.findings],
        "flows": [_flow(result.tables, moments, flow, result.payload.what(flow)) for flow in named],
        "hosts": [_host(result.tables, host) for host in _hosts(result)],
    }


def _hosts(result: Result) -> list[Host]:
    return shown_hosts(host_table(result.tables, result.config), result.findings, result.diagnosis)


def _capture(capture: Capture) -> dict[str, Any]:
    members = dataclasses.asdict(dataclasses.replace(capture, checksum=no_checksum))
    members["paths"] = [printable(path) for path in capture.paths]
    members["name"] = printable(capture.name)
    members["truncated"] = printable(capture.truncated)
    members["notes"] = [printable(note) for note in capture.notes]
    for item in members["undecoded"]:
        item["reason"] = printable(item["reason"])
    members["sha256"] = capture.sha256
    del members["checksum"]
    first, last = members.pop("first_ns"), members.pop("last_ns")
    members["first"] = None if first < 0 else rfc3339(first)
    members["last"] = None if last < 0 else rfc3339(last)
    return members


def _incident(incident: Incident) -> dict[str, Any]:
    blame = incident.blame
    return {
        "incident": incident.number,
        "pattern": incident.pattern,
        "code": incident.code,
        "severity": incident.severity.label,
        "confidence": incident.confidence,
        "headline": printable(incident.headline),
        "blame": {"kind": blame.kind, "who": printable(blame.who), "side": blame.side or None},
        "start": rfc3339(incident.start_ns),
        "end": rfc3339(incident.end_ns),
        "flows": int(incident.count),
        "hosts": list(incident.hosts),
        "anomalies": sorted(incident.explains),
        "frames": [int(frame) for frame in incident.frames],
        "why": [
            {"text": printable(seen.text), "frames": [int(frame) for frame in seen.frames]} for seen in incident.why
        ],
        "against": [printable(text) for text in incident.against],
        "remedy": [{"side": step.side.lower(), "text": printable(step.text)} for step in incident.remedy],
    }


def _anomaly(anomaly: Anomaly) -> dict[str, Any]:
    return {
        "code": anomaly.code,
        "name": anomaly.name,
        "severity": anomaly.severity.label,
        "flow": anomaly.flow if anomaly.flow >= 0 else None,
        "endpoint": ENDPOINT_NAMES[anomaly.endpoint] if anomaly.endpoint >= 0 else None,
        "time": rfc3339(anomaly.time_ns),
        "frames": [int(frame) for frame in anomaly.frames],
        "detail": printable(anomaly.detail),
        "cause": anomaly.cause or None,
        "confidence": anomaly.confidence,
        "alternatives": [printable(text) for text in anomaly.alternatives],
        "count": int(anomaly.count),
    }


def _flow(tables: Tables, moments: Moments, flow: int, what: str) -> dict[str, Any]:
    row = {name: int(column[flow]) for name, column in tables.flows.columns.items()}
    members: dict[str, Any] = {
        "flow": flow,
        "stream": row["stream"],
        "client": tables.client(flow),
        "server": tables.server(flow),
        "first_frame": row["first_frame"],
        "last_frame": row["last_frame"],
        "start": rfc3339(row["start_ns"]),
        "end": rfc3339(row["end_ns"]),
        "client_state": STATE_NAMES[row["client_state"]],
        "server_state": STATE_NAMES[row["server_state"]],
        "closed_by": CLOSED_BY_NAMES[row["closed_by"]],
        "end_reason": END_REASONS[row["end_reason"]],
        "completeness": row["completeness"],
    }
    for side in ENDPOINT_NAMES:
        for name in ("packets", "bytes", "retransmitted"):
            members[f"{side}_{name}"] = row[f"{side}_{name}"]
        members[f"{side}_rtt_ms"] = _duration(row[f"{side}_rtt_ns"], 1e6)
    members["handshake_ms"] = _duration(int(moments.handshake_ns[flow]), 1e6)
    members["first_byte_ms"] = _duration(int(moments.first_byte_ns[flow]), 1e6)
    members["answer_ms"] = _duration(row["answer_ns"], 1e6)
    members["turns"] = row["turns"]
    members["idle_s"] = row["idle_ns"] / 1e9
    members["idle_owed"] = OWED_NAMES[row["idle_owed"]]
    members["idle_owed_by"] = ENDPOINT_NAMES[row["idle_owed_by"]] if row["idle_owed_by"] >= 0 else None
    members["pause_s"] = _duration(row["pause_ns"], 1e9)
    members["quiet_before_close_s"] = _duration(int(moments.quiet_before_close_ns[flow]), 1e9)
    members["what"] = what or None
    return members


def _host(tables: Tables, host: Host) -> dict[str, Any]:
    members = {
        "host": host.address,
        "vlan": host.vlan,
        "tunnel": tables.capture.tunnels[host.tunnel] if host.tunnel else "",
        "as_client": host.as_client,
        "as_server": host.as_server,
        "stack": host.guess.stack,
        "stack_confidence": host.guess.confidence,
        "stack_why": host.guess.why,
        "ttl": host.ttl,
        "hops": host.hops,
        "timestamps": host.timestamps,
        "clock_hz": host.clock_hz,
        "initial_rto_s": host.initial_rto_s,
        "resets_with_timestamps": host.resets_with,
        "resets_without_timestamps": host.resets_without,
        "first_port": host.first_port,
        "last_port": host.last_port,
        "ephemeral_ports": host.ports.number if host.ports else -1,
        "ephemeral_basis": host.ports.basis if host.ports else "",
        "time_wait_s": host.time_wait_s,
        "time_wait_basis": host.time_wait_basis,
    }
    return {name: None if value in ("", -1) else value for name, value in members.items()}


def _duration(ns: int, unit_ns: float) -> float | None:
    return None if ns < 0 else ns / unit_ns
