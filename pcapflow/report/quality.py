"""Capture quality: how far the evidence can be trusted, in one line; quiet when good, loud when not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from pcapflow.anomalies.capture_quality import quality
from pcapflow.anomalies.catalogue import known_rule
from pcapflow.anomalies.model import Anomaly
from pcapflow.anomalies.rule import Limit
from pcapflow.tables.table import Tables
from pcapflow.tcp.marks import MARK_DUPLICATE_PACKET
from pcapflow.text.phrases import counted, number, sentence

_VANTAGE_FLOWS: Final = 5000
_VANTAGE_RATIO: Final = 5.0
_MOST_UNDECODED: Final = 4


class QualityItem(NamedTuple):
    """One thing known about the capture; ``loud`` when it limits what can be concluded."""

    text: str
    loud: bool


class QualityNote(NamedTuple):
    """``good`` without a loud item; loud items come first."""

    good: bool
    items: tuple[QualityItem, ...]


def quality_note(tables: Tables, anomalies: Iterable[Anomaly]) -> QualityNote:
    """Gathers what limits the evidence, from the capture's metadata and from the rules about captures."""
    capture = tables.capture
    reported: set[Limit] = set()
    others: dict[str, Anomaly] = {}  # the last row of each rule that has no words here
    for anomaly in anomalies:
        if anomaly.about_capture and anomaly.severity.label != "info":
            rule = known_rule(anomaly.code)
            if rule and rule.limit:
                reported.add(rule.limit)
            else:
                others[anomaly.code] = anomaly
    items = [
        *_losses(tables, reported),
        _directions(tables, reported),
        _payloads(tables),
        _duplicates(tables, reported),
        *_shape(tables, reported),
    ]
    items += [QualityItem(sentence(a.detail).rstrip("."), True) for a in others.values()]
    if capture.frames == 0:
        items = [QualityItem("no packets", True), *(QualityItem(note, True) for note in capture.notes)]
    items.sort(key=lambda item: not item.loud)
    return QualityNote(not any(item.loud for item in items), tuple(items))


def vantage(tables: Tables) -> str:
    """Near which end the capture was taken, where round-trip times tell: "seen near the server (likely)", or "".

    A segment's acknowledgement comes back fast from the end that is near; times are the medians of many connections.
    """
    client, server = tables.flows["client_rtt_ns"], tables.flows["server_rtt_ns"]
    both = np.flatnonzero((client >= 0) & (server >= 0))[:_VANTAGE_FLOWS]
    if len(both) == 0:
        return ""
    to_server, to_client = float(np.median(client[both])), float(np.median(server[both]))
    if to_client > _VANTAGE_RATIO * max(to_server, 1.0):
        return "seen near the server (likely)"
    if to_server > _VANTAGE_RATIO * max(to_client, 1.0):
        return "seen near the client (likely)"
    return ""


def _losses(tables: Tables, reported: set[Limit]) -> list[QualityItem]:
    capture = tables.capture
    unseen = int(quality(tables).unseen.sum())
    items = []
    if capture.dropped > 0:
        items.append(QualityItem(f"{counted(capture.dropped, 'packet')} dropped while capturing", True))
    if Limit.GAPS in reported:
        items.append(QualityItem(f"{number(unseen)} bytes acknowledged that the capture lacks", True))
    if not items:
        items.append(QualityItem("nothing dropped" if capture.dropped == 0 else "no gaps", False))
    if capture.truncated:
        items.append(QualityItem(capture.truncated, True))
    return items


def _directions(tables: Tables, reported: set[Limit]) -> QualityItem:
    if Limit.DIRECTIONS in reported:
        known = quality(tables)
        one_way = int(np.count_nonzero(known.one_way))
        total = counted(one_way + known.two_way, "connection")
        return QualityItem(f"one direction only in {number(one_way)} of {total} with data", True)
    return QualityItem("both directions", False)


def _payloads(tables: Tables) -> QualityItem:
    capture = tables.capture
    if capture.cut_frames == 0:
        return QualityItem("payloads whole", False)
    to = f" to {number(capture.snaplen)} bytes" if capture.snaplen else ""
    # Headers are all that is needed here, so this is said without alarm.
    return QualityItem(f"{counted(capture.cut_frames, 'packet')} cut{to}", False)


def _duplicates(tables: Tables, reported: set[Limit]) -> QualityItem:
    copies = int(np.count_nonzero(tables.marks["mark"] == MARK_DUPLICATE_PACKET))
    if copies == 0:
        return QualityItem("no duplicates", False)
    return QualityItem(f"{counted(copies, 'packet')} captured twice, counted once", Limit.COPIES in reported)


def _shape(tables: Tables, reported: set[Limit]) -> list[QualityItem]:
    capture = tables.capture
    items: list[QualityItem] = []
    if capture.clock_steps > 0:
        times = counted(capture.clock_steps, "time")
        text = f"the clock went back {times}, first at frame {number(capture.first_clock_step_frame)}"
        items.append(QualityItem(text, Limit.CLOCK in reported))
    undecoded = sorted(capture.undecoded, key=lambda kind: -kind.count)
    for kind in undecoded[:_MOST_UNDECODED]:
        text = f"{counted(kind.count, 'frame')} not decoded ({kind.layer}: {kind.reason})"
        items.append(QualityItem(text, Limit.UNDECODED in reported))
    if more := sum(kind.count for kind in undecoded[_MOST_UNDECODED:]):
        items.append(
            QualityItem(f"{counted(more, 'frame')} not decoded for other reasons", Limit.UNDECODED in reported)
        )
    if capture.evicted > 0:
        items.append(QualityItem(f"{counted(capture.evicted, 'connection')} evicted at the limit on open ones", True))
    items += [QualityItem(note, False) for note in capture.notes]
    midstream = int(np.count_nonzero(tables.flows["midstream"]))
    if midstream:
        items.append(QualityItem(f"{counted(midstream, 'connection')} began before the capture", False))
    return items
