"""PI101: a server was restarted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pcapflow.anomalies.model import CERTAIN, LIKELY, POSSIBLE, Confidence, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Explanation, Observation, Remedy
from pcapflow.diagnosis.outage_series import did_harm_to_any, explanation, series
from pcapflow.diagnosis.outage_words import (
    away_ns,
    blame,
    end_ns,
    explains,
    gently,
    harm,
    hosts,
    observations,
    where,
)
from pcapflow.diagnosis.outages import Outage, is_crash
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.service import Service
from pcapflow.text.phrases import counted, duration
from pcapflow.text.times import time_of_day


@pattern("PI101", "restart", title="A server was away for a while")
def restart(case: Case) -> Sequence[Explanation]:
    """A server was away for a while: it ended its connections, turned new ones away, and then accepted again.

    Seen: connections to one address and port that the server ended within moments, by FIN or RST, then refusals or
        silence, and a connection that it accepted afterwards; or, where nobody came meanwhile, all of its connections
        ended in one moment although they had been silent for different times, and new ones accepted. Several ports of
        one host that did so together are told as the host.
    Unless: the connections finish and nobody is refused (a graceful reload), one connection ends while others go on,
        the clients close, all had been silent for the same time (an idle time-out), it refuses again and again while
        it accepts others (a limit), or requests were cut off in one moment (PI102 crash).
    Means: for that time nobody could connect, and what was under way or waited to be accepted was lost.
    Do:
        Server: change it without closing its listening socket (a reload, socket activation), or take it out of the load
            balancer first and let its connections finish.
        Client: try again, with pauses that outlast the time it was away.
    Else: a process that is killed while nothing is asked of it leaves the same traces, and so does a limit that
        refuses connections for a while.
    Source: Linux tcp_v4_send_reset (no socket), inet_csk_listen_stop (resets what was not accepted), tcp_close.
    """
    service = Service(case.tables, case.config)
    explanations = []
    for parts in series(case, service):
        if any(is_crash(outage) for outage in parts):
            continue
        if len(parts) > 1:
            explanations.append(explanation(case, service, parts, _remedy(case, parts[-1])))
        elif parts[0].existed:
            explanations.append(_restart(case, service, parts[0]))
        else:
            explanations.append(_late(case, service, parts[0]))
    return explanations


def _headline(case: Case, outage: Outage) -> str:
    server, at, away = where(case, outage), time_of_day(outage.gone_ns), duration(away_ns(case, outage))
    did = harm(case, outage)
    if outage.kind == "forgot":
        return (
            f"The host of {server} was restarted: silent for {away} from {at} on, it came back without its "
            f"connections; {did}."
        )
    then = f"was away for {away}" if len(outage.refused) + len(outage.silent) else "accepted again at once"
    return f"{server} was restarted at {at} and {then}: {did}."


def _severity(service: Service, outage: Outage) -> Severity:
    if len(outage.refused) + len(outage.silent) and not len(outage.others):
        return Severity.MEDIUM
    harmful = len(outage.refused) or did_harm_to_any(service, outage)
    return Severity.LOW if harmful else Severity.INFO


def _restart(case: Case, service: Service, outage: Outage) -> Explanation:
    return Explanation(
        severity=_severity(service, outage),
        confidence=_confidence(outage),
        headline=_headline(case, outage),
        blame=blame(case, outage),
        start_ns=outage.gone_ns,
        end_ns=end_ns(case, outage),
        flows=named(outage.flows),
        count=len(outage.flows),
        hosts=hosts(case, outage),
        explains=explains(case, outage),
        why=tuple(observations(case, service, outage)),
        against=tuple(_against(outage)),
        remedy=_remedy(case, outage),
    )


def _confidence(outage: Outage) -> Confidence:
    if len(outage.others):
        return POSSIBLE
    return CERTAIN if len(outage.refused) and len(outage.ended) else LIKELY


def _against(outage: Outage) -> Iterator[str]:
    if len(outage.others):
        yield (
            f"{counted(len(outage.others), 'connection')} from before went on afterwards: the listener alone may have "
            "been away, or a limit refused new connections"
        )
    elif not len(outage.ended):
        yield "no open connection was seen to end with it: only the refusals say that nothing listened"
    elif outage.kind == "forgot":
        yield "a device that forgot the connections and answers in the host's name by a RST looks the same"
    elif not outage.cut.any():
        yield "a process that is killed while nothing is asked of it, and is started again, leaves the same packets"
    if outage.kind == "at-once":
        yield "nobody was refused: a reload that closes every idle connection leaves the same packets"


def _remedy(case: Case, outage: Outage) -> tuple[Remedy, ...]:
    if outage.kind == "forgot":
        return (
            Remedy("Server", "find out why the host went away: its power, `journalctl -b -1 -e`, the hypervisor's log"),
            Remedy(
                "Client",
                "connect anew when a connection is reset; `TCP_USER_TIMEOUT`, or a time-out for answers, tells a "
                "client of a silent peer sooner",
            ),
        )
    away = duration(away_ns(case, outage))
    advice = [
        Remedy(
            "Server",
            "where it must be restarted, keep the listening socket open meanwhile (systemd socket activation, a second "
            "process with SO_REUSEPORT), or take it out of the load balancer and let its connections finish first",
        )
    ]
    if gently(case, outage) and len(outage.servers) == 1:
        advice.insert(0, Remedy("Server", gently(case, outage)))
    if len(outage.refused) + len(outage.silent):
        advice.append(Remedy("Client", f"retry refused connections with growing pauses that together exceed {away}"))
    if outage.cut.any():
        advice.append(Remedy("Client", "repeat requests that got no answer, where they may be done twice"))
    return tuple(advice)


def _late(case: Case, service: Service, outage: Outage) -> Explanation:
    """Nothing was heard of it before: it was started late, or its stop is not in the capture."""
    server = where(case, outage)
    return Explanation(
        severity=Severity.LOW,
        confidence=LIKELY,
        headline=(
            f"{server} was not running yet when its clients came: {harm(case, outage)} for "
            f"{duration(away_ns(case, outage))}, and from {time_of_day(outage.back_ns)} on it accepted."
        ),
        blame=blame(case, outage),
        start_ns=outage.gone_ns,
        end_ns=end_ns(case, outage),
        flows=named(outage.flows),
        count=len(outage.flows),
        hosts=hosts(case, outage),
        explains=explains(case, outage),
        why=(
            *observations(case, service, outage),
            Observation("no connection to it from before the first refusal is in the capture"),
        ),
        against=("it may have been restarted as well: the capture may begin after its stop",),
        remedy=(
            Remedy(
                "Server", "start it before its clients, or make them wait for it (`depends_on` with a health check)"
            ),
            Remedy("Client", f"retry refused connections for longer than {duration(away_ns(case, outage))}"),
        ),
    )
