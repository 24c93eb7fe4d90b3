"""What is said of an outage, whatever pattern tells of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frame, in_frames, proof
from pcapflow.anomalies.lookup.columns import unique
from pcapflow.anomalies.lookup.timeline import Story
from pcapflow.anomalies.model import IntArray
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.model import Blame, Observation
from pcapflow.diagnosis.outages import Outage
from pcapflow.diagnosis.service import Service
from pcapflow.diagnosis.settings import HTTP, MYSQL, POSTGRES, REDIS, settings_of
from pcapflow.tcp.states import CLIENT, FIN_TX, SERVER
from pcapflow.text.phrases import counted, duration, listed, were
from pcapflow.text.times import to_ns, to_the_millisecond

_CONSEQUENCES: Final = (
    "PF101", "PF102", "PF107", "PF205", "PF211", "PF301", "PF302", "PF303", "PF305", "PF402", "PF403", "PF404",
)  # fmt: skip
"""Rules that tell what the clients of a server that goes away see."""
_SHOWN: Final = 4
_GENTLY: Final = {
    HTTP: "reload in place of a restart: `nginx -s reload`, `kill -HUP` of gunicorn's master and `haproxy -sf` keep "
    "the listening socket open",
    POSTGRES: "`pg_ctl reload` is enough for most settings of PostgreSQL, `pg_ctl restart -m smart` cuts nobody off",
    MYSQL: "`SET GLOBAL` changes most settings of MariaDB or MySQL without a restart",
    REDIS: "`CONFIG SET` changes most settings of Redis without a restart; before one, fail over to a replica",
}
"""How the program that usually listens on a port is changed without being away."""
_LOGS: Final = {
    HTTP: "`error.log` of nginx (`exited on signal`), or gunicorn's (`Worker ... was sent SIGKILL`)",
    POSTGRES: "PostgreSQL's log (`was terminated by signal`)",
    MYSQL: "the error log of MariaDB or MySQL (`got signal`, `Normal shutdown`)",
    REDIS: "Redis's log (`User requested shutdown`, `REDIS BUG REPORT`)",
}
"""Where that program says how it ended."""


def gently(case: Case, outage: Outage) -> str:
    """How what listens there is changed without being away; "" where the port does not tell what it is."""
    return _GENTLY.get(case.settings(outage.servers[0]), "")


def last_words(case: Case, outage: Outage) -> str:
    """Where what listens there says how it ended."""
    return _LOGS.get(case.settings(outage.servers[0]), "the program's own log")


def is_database(case: Case, outage: Outage) -> bool:
    """Its port says that a database listens there, which closes its connections for no reload."""
    return settings_of(int(case.column("server_port")[outage.servers[0]])) in (POSTGRES, MYSQL, REDIS)


def where(case: Case, outage: Outage) -> str:
    """The server, or the host with its ports."""
    if len(outage.servers) == 1:
        return case.tables.server(outage.servers[0])
    ports = sorted({int(case.column("server_port")[flow]) for flow in outage.servers})
    return f"{case.tables.ip(outage.servers[0], SERVER)} (ports {listed([str(port) for port in ports], 4)})"


def blame(case: Case, outage: Outage) -> Blame:
    """The server, or its host."""
    if len(outage.servers) == 1 and outage.kind != "forgot":
        return Blame("endpoint", case.tables.server(outage.servers[0]), "server")
    return Blame("host", case.tables.ip(outage.servers[0], SERVER), "server")


def hosts(case: Case, outage: Outage) -> tuple[str, ...]:
    """The server's address, then its clients'."""
    return (case.tables.ip(outage.servers[0], SERVER), *case.hosts(outage.flows, CLIENT))


def end_ns(case: Case, outage: Outage) -> int:
    """When it accepted again, or the end of the capture."""
    return outage.back_ns if outage.back_ns >= 0 else case.tables.capture.last_ns


def turned_away_ns(case: Case, outage: Outage) -> IntArray:
    """When attempts were refused or made in vain, in order."""
    times = np.concatenate((case.column("reset_ns")[outage.refused], case.column("start_ns")[outage.silent]))
    return np.sort(times)


def away_ns(case: Case, outage: Outage) -> int:
    """How long it was away: from the first that it turned away, or else from its last close, to its return."""
    times = turned_away_ns(case, outage)
    return end_ns(case, outage) - (int(times[0]) if len(times) else outage.gone_ns)


def explains(case: Case, outage: Outage) -> frozenset[int]:
    """The anomalies of the connections that were cut off or turned away."""
    return frozenset(case.anomalies_of(*_CONSEQUENCES, flows=unique(outage.flows)))


def harm(case: Case, outage: Outage) -> str:
    """What it did to its clients: ``26 connection attempts of 10.0.0.1 were refused and 6 requests got no answer``."""
    parts = []
    if len(outage.refused):
        parts.append(f"{_attempts(case, outage.refused)} {'was' if len(outage.refused) == 1 else 'were'} refused")
    if len(outage.silent):
        parts.append(f"{_attempts(case, outage.silent)} got no answer")
    cut = int(np.count_nonzero(outage.cut))
    if cut:
        parts.append(f"{counted(cut, 'request')} under way got no answer")
    elif len(outage.ended):
        parts.append(f"{were(len(outage.ended), 'open connection')} closed")
    return listed(parts)


def _attempts(case: Case, flows: IntArray) -> str:
    return f"{counted(len(flows), 'connection attempt')} of {case.hosts(flows, CLIENT).listed(2)}"


def observations(case: Case, service: Service, outage: Outage) -> Iterator[Observation]:
    """What is to be seen of it, the strongest first."""
    yield from _ended(case, service, outage)
    yield from _turned_away(case, outage)
    yield from _return(case, outage)
    if len(outage.others):
        frames = case.frames("last_frame", outage.others[:_SHOWN])
        text = f"{counted(len(outage.others), 'connection')} from before went on{in_frames(frames)}"
        yield Observation(text, frames)


def _ended(case: Case, service: Service, outage: Outage) -> Iterator[Observation]:
    ended = outage.ended
    if not len(ended):
        return
    yield _ends(case, outage)
    cut, unread = ended[outage.cut], ended[outage.unread]
    if len(cut):
        frames = closing_frames(case, cut)
        waited = case.column("close_ns")[cut] - case.column("client_data_ns")[cut]
        longest = duration(int(waited.max()))
        text = f"on {len(cut)} of them the client was still waiting for an answer, for up to {longest}"
        yield Observation(text + in_frames(frames), frames)
    if len(unread):
        frames = closing_frames(case, unread)
        text = (
            f"{were(len(unread), 'connection')} reset before the server had sent a byte, as happens to those that the "
        )
        text += "program has not accepted yet when its listener closes"
        yield Observation(text + in_frames(frames), frames)
    lost = service.lost_bytes(ended)
    late = ended[service.was_written_to[ended]]
    at_least = f"at least {were(lost, 'byte')} lost that clients had sent"
    if len(late):
        frames = case.frames("reset_frame", late)
        text = f"on {len(late)} of them the client sent more after the end{in_frames(frames)}"
        yield Observation(f"{text}; {at_least}" if lost else text, frames)
    elif lost:
        frames = case.frames("reset_frame", ended)
        yield Observation(at_least + in_frames(frames), frames)


def _ends(case: Case, outage: Outage) -> Observation:
    """How the connections ended, and how close together."""
    ended = outage.ended
    frames = closing_frames(case, ended)
    closes = case.column("close_ns")[ended]
    at = to_the_millisecond(int(closes[0]))
    spread = f" within {duration(int(closes[-1] - closes[0]))}" if len(ended) > 1 else ""
    if outage.kind == "forgot":
        older = counted(len(ended), "connection")
        text = f"from {at} on it answered what came on {older} from before by RST{spread}, as if it had none of them"
        return Observation(text + in_frames(frames), frames)
    since = f"{spread}, from {at} on"
    resets = int(np.count_nonzero(case.column("reset_ns")[ended] == closes))
    how = (
        "by FIN" if not resets else "by RST" if resets == len(ended) else f"{resets} of them by RST, the others by FIN"
    )
    text = f"{where(case, outage)} ended {counted(len(ended), 'connection')}{since}, {how}"
    return Observation(text + in_frames(frames), frames)


def _turned_away(case: Case, outage: Outage) -> Iterator[Observation]:
    for flows, column, what in (
        (outage.refused, "reset_frame", "refused by RST"),
        (outage.silent, "first_frame", "not answered"),
    ):
        if len(flows):
            times = case.column("reset_ns" if column == "reset_frame" else "start_ns")[flows]
            frames = proof([*case.frames(column, flows[:2]), *case.frames(column, flows[-1:])])
            until = f" to {to_the_millisecond(int(times[-1]))}" if len(flows) > 1 else ""
            yield Observation(
                f"{were(len(flows), 'connection attempt')} {what}, {to_the_millisecond(int(times[0]))}"
                f"{until}{in_frames(frames)}",
                frames,
            )


def _return(case: Case, outage: Outage) -> Iterator[Observation]:
    times = turned_away_ns(case, outage)
    if outage.back_ns < 0:
        left = case.tables.capture.last_ns - outage.gone_ns
        yield Observation(f"it accepted no connection in the {duration(left)} that the capture went on")
        return
    frame = int(case.column("server_first_frame")[outage.back_flow])
    text = f"it accepted a connection again at {to_the_millisecond(outage.back_ns)}{in_frame(frame)}"
    if len(times) and outage.existed:
        closes = case.column("close_ns")[outage.ended]
        seen_ns = max([outage.seen_ns, *closes[closes < times[0]].tolist()])
        least_ns, most = int(times[-1] - times[0]), duration(outage.back_ns - seen_ns)
        least = duration(least_ns)
        bounds = f"at least {least} and at most {most}" if least_ns else f"at most {most}"
        text += f": it was away for {most if least == most else bounds}"
    yield Observation(text, (frame,))


def closing_frames(case: Case, flows: IntArray) -> tuple[int, ...]:
    """The frames in which the server ended these connections, of the first few."""
    shown = flows[:_SHOWN]
    story = Story(case.tables, shown)
    resets = case.column("reset_frame")
    return proof(story.frame(flow, SERVER, event=FIN_TX) or int(resets[flow]) for flow in shown.tolist())


def is_short(case: Case, outage: Outage) -> bool:
    """The capture ends before anybody could know that it stays away."""
    return case.tables.capture.last_ns - outage.gone_ns < to_ns(case.config.syn_timeout_s)
