"""The verdict: one sentence that someone who knows no TCP can forward, and how sure it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from pcapflow.anomalies.catalogue import known_rule
from pcapflow.diagnosis.model import Incident
from pcapflow.report.prose import Prose, blame_words, prose, side_words
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.escape import printable
from pcapflow.text.phrases import counted, number, sentence
from pcapflow.text.times import Clock
from pcapflow.views.groups import AnomalyGroup, flows_to_same_servers
from pcapflow.views.summary import end_reasons

_EITHER: Final = re.compile(r"\[([^|\]]+)\|([^|\]]+)\]")
_TIME_OF_DAY: Final = re.compile(r"\d\d:\d\d:\d\d")


class Chip(NamedTuple):
    """A short remark beside the verdict; ``tone`` is a severity or ""."""

    text: str
    tone: str = ""


class Verdict(NamedTuple):
    """What is wrong, first in bold, then with figures; ``tone`` is a severity, or ``good``."""

    tone: str
    lead: str
    rest: Prose
    chips: tuple[Chip, ...]


def verdict(
    tables: Tables,
    findings: Sequence[AnomalyGroup],
    titles: dict[str, str],
    clock: Clock,
    incidents: Sequence[Incident] = (),
    *,
    doubtful: bool,
) -> Verdict:
    """Puts what is worst into a sentence: an incident's headline, or what the worst finding says where it is worse.

    Args:
        tables: of the capture.
        findings: worst first.
        titles: of the rules, by code.
        clock: says times.
        incidents: what happened, worst first; what they explain is not among the findings.
        doubtful: whether the capture's quality casts doubt on what is absent from it.
    """
    happened = [i for i in incidents if i.severity.label != "info"]
    faults = [f for f in findings if f.worst.severity.label != "info" and not f.worst.about_capture]
    if happened and not (faults and faults[0].worst.severity > happened[0].severity):
        return _incident(incidents, findings, clock)
    if not faults:
        return _nothing(tables, findings, incidents, doubtful=doubtful)
    finding = faults[0]
    worst = finding.worst
    lead = _lead(tables, finding, titles)
    chips = [
        Chip(worst.severity.label, worst.severity.label),
        Chip(side_words(worst.endpoint)),
        Chip(worst.confidence),
    ]
    if worst.frames:
        chips.append(_frames_chip(worst.frames))
    if others := _others(findings, finding):
        chips.append(Chip(others))
    rest = prose(_rest(tables, finding, lead, clock))
    return Verdict(worst.severity.label, lead, rest, tuple(chips))


def _incident(incidents: Sequence[Incident], findings: Sequence[AnomalyGroup], clock: Clock) -> Verdict:
    """The worst incident: its headline, and the strongest reason for it."""
    worst = incidents[0]
    chips = [Chip(worst.severity.label, worst.severity.label), Chip(blame_words(worst.blame)), Chip(worst.confidence)]
    if worst.frames:
        chips.append(_frames_chip(worst.frames))
    more = sum(incident.severity.label != "info" for incident in incidents) - 1
    if more:
        chips.append(Chip(counted(more, "more incident")))
    if others := _others(findings, None):
        chips.append(Chip(others))
    rest = sentence(worst.why[0].text)
    if worst.blame.kind != "capture" and not _TIME_OF_DAY.search(worst.headline + rest):
        rest += f" First seen at {clock.text(worst.start_ns)}."
    return Verdict(worst.severity.label, _plain(worst.headline), prose(rest), tuple(chips))


def _plain(text: str) -> str:
    """A text without the marks of code, as it can be forwarded."""
    return printable(text.replace("`", ""))


def _frames_chip(frames: Sequence[int]) -> Chip:
    shown = ", ".join(map(str, frames[:2])) + ", …" * (len(frames) > 2)
    return Chip(f"frame {shown}" if len(frames) == 1 else f"frames {shown}")


def _lead(tables: Tables, finding: AnomalyGroup, titles: dict[str, str]) -> str:
    code, endpoint = finding.worst.code, finding.worst.endpoint
    rule = known_rule(code)
    pattern = rule.lead.pattern(several=finding.count > 1, blamed=endpoint >= 0) if rule and rule.lead else ""
    if not finding.flows or not pattern:
        # Only of findings that are not of this catalogue.
        return sentence(f"{counted(finding.count, 'connection')} under the heading {titles[code]!r}")
    is_client = "{who}" in pattern and endpoint == CLIENT
    ends = {(tables.ip(flow, SERVER), tables.server(flow)) for flow in finding.flows}
    if is_client:
        ends = {(tables.ip(flow, CLIENT),) * 2 for flow in finding.flows}
    named = _named(ends, "client" if is_client else "server", is_all=finding.count <= len(finding.flows))
    return sentence(_EITHER.sub(r"\2" if len(ends) > 1 else r"\1", pattern).format(who=named, server=named))


def _named(ends: set[tuple[str, str]], kind: str, *, is_all: bool) -> str:
    """Who is spoken of, by address and by name: the only one, the ports of one host, or how many hosts."""
    if len(ends) == 1:
        return ends.pop()[1]
    hosts = {address for address, _ in ends}
    least = "" if is_all else "at least "
    if len(hosts) == 1:
        return f"{least}{number(len(ends))} ports of {hosts.pop()}"
    return f"{least}{counted(len(hosts), kind)}"


def _rest(tables: Tables, finding: AnomalyGroup, lead: str, clock: Clock) -> str:
    """What follows the lead: how often and since when, and the worst case in the words of its rule."""
    worst = finding.worst
    head, _, tail = worst.detail.partition(": ")
    if tail and sentence(head) == lead:
        return sentence(tail)
    if worst.flow < 0:
        detail = sentence(worst.detail)
        since = "" if _TIME_OF_DAY.search(detail) else f" First seen at {clock.text(worst.time_ns)}."
        return detail + since
    first = clock.text(min(a.time_ns for a in finding.anomalies))
    total = flows_to_same_servers(tables, finding)
    if finding.count == 1:
        often = f"At {first}: " if total == 1 else f"Once in {number(total)} connections, at {first}: "
        return often + worst.detail.rstrip(".") + "."
    share = f"all {number(total)}" if finding.count >= total else f"{number(finding.count)} of {number(total)}"
    return f"In {share} connections, since {first}. The worst: {worst.detail.rstrip('.')}."


def _others(findings: Sequence[AnomalyGroup], shown: AnomalyGroup | None) -> str:
    rest = [f for f in findings if f is not shown]
    notices = sum(f.worst.severity.label == "info" for f in rest)
    words = [(len(rest) - notices, "more finding" if shown else "finding"), (notices, "notice")]
    return ", ".join(counted(count, word) for count, word in words if count)


def _nothing(
    tables: Tables, findings: Sequence[AnomalyGroup], harmless: Sequence[Incident], *, doubtful: bool
) -> Verdict:
    """Nothing went wrong; what happened and is harmless is told as such."""
    count = len(tables.flows)
    happened = [incident for incident in harmless if incident.severity.label == "info"]
    notices = len(happened) + sum(not finding.worst.about_capture for finding in findings)
    if count == 0:
        lead, rest = "There is no TCP connection in this capture.", "So there is nothing to judge."
    else:
        lead = "TCP worked as it should." if not notices else "TCP worked, and nothing in it calls for action."
        whose = (
            "the one connection"
            if count == 1
            else "both connections"
            if count == 2
            else f"all {number(count)} connections"
        )
        rest = f"That goes for {whose}, as far as the capture shows, and not for what the programs said to each other."
        still_open = end_reasons(tables).get("open", 0)
        if still_open:
            rest += f" {number(still_open)} {'was' if still_open == 1 else 'were'} still open when it ended."
        if happened:
            more = f" And {counted(len(happened) - 1, 'thing')} more." if len(happened) > 1 else ""
            rest += f" What happened and is harmless: {_plain(happened[0].headline)}{more}"
    if doubtful:
        lead = lead if count == 0 else "TCP worked as far as the capture shows, but the capture is incomplete."
        rest += " What is missing from it, listed below, may hide a fault."
    others = _others(findings, None)
    chips = (Chip(others),) if others else ()
    return Verdict("medium" if doubtful else "good", lead, prose(rest), chips)
