"""PI103: a server does not accept connections in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.model import CERTAIN, LIKELY, POSSIBLE, Confidence, IntArray, Severity
from pcapflow.anomalies.resets.at_once import reset_at_once
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.idle_words import lengths
from pcapflow.diagnosis.model import Blame, Explanation, Observation, Remedy
from pcapflow.diagnosis.pattern import pattern
from pcapflow.diagnosis.settings import HTTP, MYSQL, POSTGRES, REDIS
from pcapflow.diagnosis.starving import Starving, starving
from pcapflow.tables.moments import Moments
from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.text.phrases import counted, duration, were
from pcapflow.text.times import time_of_day, to_ns

_CONSEQUENCES: Final = (
    "PF101", "PF104", "PF106", "PF107", "PF202", "PF203", "PF204", "PF301", "PF302", "PF402", "PF404", "PF405",
)  # fmt: skip
_BACKLOGS: Final = {
    HTTP: "nginx: `listen ... backlog=` (511 unless set), `worker_processes`; gunicorn: `--backlog` (2048 unless "
    "set), `--workers`, `--threads`; uvicorn: `--backlog`, `--workers`",
    REDIS: "Redis: `tcp-backlog` (511 unless set); `SLOWLOG GET` shows what keeps its one thread busy",
    MYSQL: "MariaDB or MySQL: `back_log`, and `thread_cache_size` or a thread pool",
    POSTGRES: "PostgreSQL: its queue follows `max_connections`; a pooler (PgBouncer) accepts faster",
}
"""The settings of the program that usually listens on a port."""
_NO_ABORT: Final = Remedy("Server", "set `net.ipv4.tcp_abort_on_overflow` to 0, so that a short burst only waits")


@pattern("PI103", "not-accepting", title="A server does not accept connections in time")
def not_accepting(case: Case) -> Sequence[Explanation]:
    """A program does not accept its connections, or not fast enough: its queue is full, and more are turned away.

    Seen: of one address and port, connections that the kernel took and acknowledged data of, without a byte from the
        program or only after a second or more; and while they waited others whose SYN found no answer at first or at
        all, whose data after the handshake was ignored (SYN cookies, a full accept queue), or that were reset within a
        round trip of their final ACK. Or, where nobody waits for an answer, several that were reset so.
    Unless: no connection ever works (a filtered port), nothing of the host is heard any more (a dead host), the server
        is slow but takes everybody (PI104), or a share of the SYNs is lost that loss explains.
    Means: those in the queue wait until the program calls accept(); those beyond it wait 1, 3, 7 s for another SYN, or
        believe that they are connected and are not.
    Do:
        Server: compare Recv-Q with Send-Q of the listener (`ss -ltn`); find what keeps the program from accept(); more
            workers, or a longer queue (listen() and `net.core.somaxconn`).
        Client: nothing; a time-out for connecting fails earlier than one for the answer.
    Else: a device in between that limits new connections drops SYNs likewise, but leaves nobody unanswered whom the
        kernel has acknowledged.
    Source: Linux tcp_conn_request and tcp_v4_syn_recv_sock (sk_acceptq_is_full), tcp_abort_on_overflow; listen(2).
    """
    plain = [listener for listener in starving(case.tables, case.config) if _is_plain(case, listener)]
    known = {case.tables.server(listener.server) for listener in plain}
    return [
        *(_explanation(case, listener) for listener in plain),
        *(
            _reset_at_the_end(case, flows)
            for flows in _several_reset(case)
            if case.tables.server(int(flows[0])) not in known
        ),
    ]


def _is_plain(case: Case, listener: Starving) -> bool:
    """The host was heard meanwhile; or it never ceased to acknowledge what was sent to it.

    Where only large segments were ignored, it is the path that loses them.
    """
    if not np.any(~case.mask(case.flows_of(case.anomalies_of("PF405")))[listener.turned_away]):
        return False
    return listener.is_alive or (len(listener.waiting) >= 2 and not len(listener.ignored))


def _explanation(case: Case, listener: Starving) -> Explanation:
    tables = case.tables
    flows = listener.flows
    return Explanation(
        severity=_severity(case, listener),
        confidence=_confidence(listener),
        headline=_headline(case, listener),
        blame=Blame("endpoint", tables.server(listener.server), "server"),
        start_ns=listener.since_ns,
        end_ns=listener.until_ns,
        flows=named(flows),
        count=len(flows),
        hosts=(tables.ip(listener.server, SERVER), *case.hosts(flows, CLIENT)),
        explains=frozenset(case.anomalies_of(*_CONSEQUENCES, flows=np.sort(flows))),
        why=tuple(_why(case, listener)),
        against=tuple(_against(listener)),
        remedy=_remedy(case, listener),
    )


def _several_reset(case: Case) -> list[IntArray]:
    """By server, the connections that were reset at the end of their handshake, where it overflows."""
    reset = np.flatnonzero(reset_at_once(case.tables, case.config)).astype(np.int64)
    overflows = case.mask(case.flows_of(case.anomalies_of("PF106")))
    return case.by_server(reset[overflows[reset]]).at_least(case.config.overflow_flows)


def _reset_at_the_end(case: Case, reset: IntArray) -> Explanation:
    """A listener of which only that is seen, and nobody who waits in its queue."""
    tables = case.tables
    everyone = case.same_server(int(reset[0]))
    server, since = tables.server(int(reset[0])), int(case.column("start_ns")[reset].min())
    until = int(case.column("close_ns")[reset].max())
    others = everyone[~case.mask(reset)[everyone]]
    is_open = (case.column("server_packets")[others] > 0) & (case.column("start_ns")[others] <= until)
    is_open &= (case.column("close_ns")[others] < 0) | (case.column("close_ns")[others] >= since)
    held = others[is_open]
    return Explanation(
        severity=Severity.MEDIUM,
        confidence=LIKELY,
        headline=(
            f"{server} did not take {len(reset)} of {counted(len(everyone), 'connection')}: since {time_of_day(since)} "
            "it reset them at the end of their handshake, as a full queue does."
        ),
        blame=Blame("endpoint", server, "server"),
        start_ns=since,
        end_ns=until,
        flows=named(reset),
        count=len(reset),
        hosts=(tables.ip(int(reset[0]), SERVER), *case.hosts(reset, CLIENT)),
        explains=frozenset(case.anomalies_of("PF106", "PF301", flows=reset)),
        why=(
            _reset_within_a_trip(case, reset),
            *(
                [
                    Observation(
                        f"{were(len(held), 'connection')} open to it then{in_frames(case.frames('first_frame', held))}",
                        case.frames("first_frame", held),
                    )
                ]
                if len(held)
                else []
            ),
        ),
        against=("nobody is seen to wait for an answer: a device or a program in front may turn them away as well",),
        remedy=(*_at_the_server(case, int(reset[0]), ""), _NO_ABORT),
    )


def _serves_nobody(listener: Starving) -> bool:
    return not len(listener.late) and not len(listener.served) and not listener.is_over


def _severity(case: Case, listener: Starving) -> Severity:
    lasts = listener.until_ns - listener.since_ns >= to_ns(case.config.syn_timeout_s)
    return Severity.HIGH if lasts and _serves_nobody(listener) else Severity.MEDIUM


def _confidence(listener: Starving) -> Confidence:
    if not listener.is_alive:
        return POSSIBLE
    return CERTAIN if len(listener.ignored) + len(listener.reset) and len(listener.waiting) else LIKELY


def _headline(case: Case, listener: Starving) -> str:
    server, at = case.tables.server(listener.server), time_of_day(listener.since_ns)
    away = len(listener.turned_away)
    total = counted(listener.tried, "connection")
    if _serves_nobody(listener):
        held = counted(len(listener.waiting), "other")
        return (
            f"{server} stopped accepting connections: since {at} it turned away {away} of {total}, and {held} wait in "
            "its queue without an answer."
        )
    moments = Moments(case.tables)
    longest = duration(int(moments.first_byte_ns[listener.late].max())) if len(listener.late) else ""
    answered = f"answers took up to {longest}" if longest else f"{len(listener.waiting)} were never answered"
    late = listener.turned_away[case.column("server_bytes")[listener.turned_away] > 0]
    did = f"it turned away {away} of {total}{f', {len(late)} of them only at first' if len(late) else ''}"
    if len(late) == away:
        waited = duration(int(moments.handshake_ns[late].max()))
        did = f"{away} of {total} waited up to {waited} to get in"
    return f"{server} accepts connections too slowly: since {at} {did}, and {answered}."


def _why(case: Case, listener: Starving) -> Iterator[Observation]:
    column = case.column
    if len(listener.waiting):
        frames = case.frames("server_first_frame", listener.waiting[:4])
        ends = column("close_ns")[listener.waiting]
        ends = np.where(ends >= 0, ends, case.tables.capture.last_ns)
        waited = ends - column("client_first_data_ns")[listener.waiting]
        yield Observation(
            f"{were(len(listener.waiting), 'connection')} accepted by the kernel, which acknowledged their data, and "
            f"the program sent no byte in up to {duration(int(waited.max()))}{in_frames(frames)}", frames,
        )  # fmt: skip
    if len(listener.late):
        first = Moments(case.tables).first_byte_ns[listener.late]
        frames = case.frames("first_frame", listener.late[:4])
        yield Observation(
            f"{were(len(listener.late), 'connection')} answered only after {lengths(first)}{in_frames(frames)}", frames,
        )  # fmt: skip
    if len(listener.unheard):
        yield _unheard(case, listener.unheard)
    if len(listener.ignored):
        frames = case.frames("first_frame", listener.ignored[:4])
        repeats = column("client_retransmitted")[listener.ignored]
        yield Observation(
            f"on {counted(len(listener.ignored), 'connection')} the SYN was answered and the data that followed was "
            f"not acknowledged, though sent again up to {counted(int(repeats.max()), 'time')}: the final ACK of the "
            f"handshake found the queue full{in_frames(frames)}", frames,
        )  # fmt: skip
    if len(listener.reset):
        yield _reset_within_a_trip(case, listener.reset)
    if listener.queued > 1:
        yield Observation(
            f"{listener.queued} connections waited for an answer when the first was turned away: its queue holds "
            "about as many, counting those that were being served"
        )
    if len(listener.served):
        yield Observation(f"{were(len(listener.served), 'connection')} answered without delay meanwhile")


def _reset_within_a_trip(case: Case, flows: IntArray) -> Observation:
    frames = case.frames("reset_frame", flows[:4])
    return Observation(
        f"{were(len(flows), 'connection')} reset within a round trip of the final ACK of the handshake, "
        f"as `tcp_abort_on_overflow` makes a full queue do{in_frames(frames)}", frames,
    )  # fmt: skip


def _unheard(case: Case, flows: IntArray) -> Observation:
    frames = case.frames("first_frame", flows[:4])
    never = flows[case.column("server_packets")[flows] == 0]
    handshake = Moments(case.tables).handshake_ns[flows]
    late = duration(int(handshake.max()))
    repeated = f"{counted(len(flows), 'connection')} had to send the SYN again"
    if not len(never):
        what = f"{repeated} and came in after up to {late}"
    elif len(never) == len(flows):
        what = f"{repeated} and got no answer at all"
    else:
        what = f"{repeated}: {len(never)} got no answer at all, the others came in after up to {late}"
    return Observation(what + in_frames(proof(frames)), proof(frames))


def _against(listener: Starving) -> Iterator[str]:
    if not listener.is_alive:
        yield "nothing was heard of the host since the first SYN without an answer: the host may be down instead"
    elif len(listener.unheard) and not len(listener.ignored) and not len(listener.reset):
        yield "a device that limits new connections drops SYNs likewise; it would not delay those that got through"


def _remedy(case: Case, listener: Starving) -> tuple[Remedy, ...]:
    queue = f" (about {listener.queued - 1} now)" if listener.queued > 2 else ""
    advice = _at_the_server(case, listener.server, queue)
    if len(listener.reset):
        advice.append(_NO_ABORT)
    if len(listener.unheard):
        text = "give the attempt to connect a time-out of its own: it waits 1, 3, 7 s and longer for a full queue"
        advice.append(Remedy("Client", text))
    if len(listener.ignored) + len(listener.waiting):
        text = (
            "give the wait for an answer a time-out: a connection in the queue, or beyond it, looks open to the client"
        )
        advice.append(Remedy("Client", text))
    return tuple(advice)


def _at_the_server(case: Case, flow: int, queue: str) -> list[Remedy]:
    """What to do at the server of a connection; ``queue`` says in brackets how many its queue holds."""
    port = int(case.column("server_port")[flow])
    advice = [
        Remedy(
            "Server",
            f"`ss -ltn 'sport = :{port}'` shows a Recv-Q above Send-Q while it lasts, and "
            "`nstat -az TcpExtListenOverflows` counts those turned away; find out what keeps the program from accept() "
            "(`strace -f -e accept4`, a stack dump), and give it more workers",
        ),
        Remedy("Server", f"raise the backlog of listen(){queue} and `net.core.somaxconn`, which limits it"),
    ]
    if (settings := case.settings(flow)) in _BACKLOGS:
        advice.append(Remedy("Server", f"the settings: {_BACKLOGS[settings]}"))
    return advice
