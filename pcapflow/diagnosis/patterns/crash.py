"""PI102: a server died at its work, or went away and did not come back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pcapflow.anomalies.model import CERTAIN, LIKELY, POSSIBLE, Confidence, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Explanation, Remedy
from pcapflow.diagnosis.outage_series import explanation, series
from pcapflow.diagnosis.outage_words import (
    away_ns,
    blame,
    end_ns,
    explains,
    harm,
    hosts,
    is_short,
    last_words,
    observations,
    where,
)
from pcapflow.diagnosis.outages import Outage, is_crash
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.service import Service
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import time_of_day


@pattern("PI102", "crash", title="A server died or stopped")
def crash(case: Case) -> Sequence[Explanation]:
    """A server ended in the middle of its work, or stopped and did not come back before the capture ended.

    Seen: connections to one address and port that the server ended in one moment while answers were owed, by FIN (a
        killed process leaves closing to its kernel) or by RST (what it had not read); or refusals after connections
        that it had accepted, until the end of the capture. Where others of its connections go on: one worker died.
    Unless: nothing was under way and it accepts again (PI101 restart), each connection was closed after its answer (a
        stop that waits), all requests had waited for the same time (the server's time-out), or a single connection
        ends while others go on.
    Means: requests that were under way may have been carried out or not: nobody knows; those that came later failed.
    Do:
        Server: look for its last words: `journalctl -k` for the OOM killer or a segfault, its log for a signal, its
            supervisor for a time-out.
        Client: do not repeat what must not happen twice without looking.
    Else: a stop on purpose that does not wait for its requests leaves the same packets.
    Source: Linux do_exit closes all files of a process; tcp_close sends FIN, or RST where received data was unread.
    """
    service = Service(case.tables, case.config)
    return [
        explanation(case, service, parts, _remedy(case, parts[-1]))
        if len(parts) > 1
        else _explanation(case, service, parts[0])
        for parts in series(case, service)
        if any(is_crash(outage) for outage in parts)
    ]


def _explanation(case: Case, service: Service, outage: Outage) -> Explanation:
    return Explanation(
        severity=_severity(case, outage),
        confidence=_confidence(outage),
        headline=_headline(case, outage),
        blame=blame(case, outage),
        start_ns=outage.gone_ns,
        end_ns=end_ns(case, outage) if outage.kind != "worker" else int(case.column("close_ns")[outage.ended].max()),
        flows=named(outage.flows),
        count=len(outage.flows),
        hosts=hosts(case, outage),
        explains=explains(case, outage),
        why=tuple(observations(case, service, outage)),
        against=tuple(_against(outage)),
        remedy=_remedy(case, outage),
    )


def _headline(case: Case, outage: Outage) -> str:
    server, at = where(case, outage), time_of_day(outage.gone_ns)
    did = harm(case, outage)
    if outage.kind == "worker":
        total = counted(len(outage.ended) + len(outage.others), "open connection")
        return (
            f"A worker of {server} died at {at}: {len(outage.ended)} of its {total} were ended in one moment, "
            f"{int(np.count_nonzero(outage.cut))} of them with a request unanswered, and the others went on."
        )
    if outage.back_ns < 0:
        stopped = "broke off its work" if outage.cut_at_work else "stopped"
        left = duration(case.tables.capture.last_ns - outage.gone_ns)
        return f"{server} {stopped} at {at} and was not back when the capture ended {left} later: {did}."
    return f"{server} broke off its work at {at} and accepted again {duration(away_ns(case, outage))} later: {did}."


def _severity(case: Case, outage: Outage) -> Severity:
    if outage.back_ns >= 0 or outage.kind == "worker":
        return Severity.MEDIUM
    if len(outage.others):
        return Severity.MEDIUM
    if is_short(case, outage):
        once = len(outage.refused) + len(outage.silent) == 1
        return Severity.LOW if once and not outage.cut_at_work else Severity.MEDIUM
    return Severity.HIGH


def _confidence(outage: Outage) -> Confidence:
    if outage.kind == "away" and len(outage.others):
        return POSSIBLE
    if outage.kind == "away" and outage.back_ns < 0:
        return CERTAIN if len(outage.ended) or len(outage.refused) > 1 else LIKELY
    if outage.kind == "worker":
        return POSSIBLE if len(outage.ended) == 2 else LIKELY
    return LIKELY


def _against(outage: Outage) -> Iterator[str]:
    if outage.cut_at_work and outage.kind != "worker":
        yield (
            "a stop on purpose that does not wait for its requests looks the same (SIGTERM to nginx, a supervisor that "
            "waits no longer)"
        )
    elif outage.kind == "worker":
        yield "a program that drops several requests at once, by a time-out or an error of its own, looks the same"
    else:
        yield "nothing was under way when it ended, so the packets do not tell a stop on purpose from a crash"
    if outage.kind == "away" and len(outage.others):
        yield "connections from before went on: the listener alone may be gone, or a limit refuses new connections"
    if outage.unread.any():
        yield "those that were reset before a byte came back may not have reached the program: it had nothing to lose"
    if outage.kind == "away" and not len(outage.ended):
        yield "no open connection was seen to end with it: only the refusals say that nothing listens"


def _remedy(case: Case, outage: Outage) -> tuple[Remedy, ...]:
    at = time_of_day(outage.gone_ns)
    advice = [
        Remedy(
            "Server",
            f"look at what happened at {at}: `journalctl -k` (OOM killer, segfault), `coredumpctl list`, "
            f"{last_words(case, outage)}, and its supervisor's (exit status 137 is SIGKILL, 143 SIGTERM)",
        )
    ]
    if outage.kind == "worker":
        advice.append(
            Remedy("Server", "compare the longest requests with the supervisor's limit (gunicorn `--timeout`, 30 s)")
        )
    elif outage.back_ns < 0:
        advice.append(Remedy("Server", "start it; let a supervisor do so next time (systemd `Restart=on-failure`)"))
    if outage.cut.any():
        cut = counted(int(np.count_nonzero(outage.cut)), "request")
        advice.append(Remedy("Client", f"find out whether {cut} without an answer took effect before asking again"))
    return tuple(advice)
