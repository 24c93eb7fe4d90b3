"""When a server was away: it ended its connections in one moment, or refused new ones between two that it accepted."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Final, Literal

import numpy as np

from pcapflow.anomalies.lookup.cache import cached_per_tables
from pcapflow.anomalies.lookup.columns import among, unique
from pcapflow.anomalies.lookup.groups import host_keys, largest_servers, server_numbers
from pcapflow.anomalies.model import BoolArray, IntArray
from pcapflow.config import Config
from pcapflow.diagnosis.figures import agreement, common_moment
from pcapflow.diagnosis.service import AFTER_ANSWER_NS, Service
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import SERVER
from pcapflow.text.times import to_ns

Kind = Literal["away", "forgot", "at-once", "worker"]

_KINDS: Final[tuple[Kind, ...]] = ("forgot", "away", "at-once", "worker")
SELDOM: Final = 0.01
"""Refusals follow one another by chance less often than this, or they are no one event."""
UNLIKELY: Final = 1e-3
"""Closes fall together by chance less often than this, or they are no one event."""
ALL: Final = 0.9
"""A server ends all of its connections where it ends this share: some were over before the capture could show it."""
MAX_SERVERS: Final = 500
"""Servers that are looked at, those with the most refusals or closes first."""
MAX_RUNS: Final = 20
"""Times that one server is told to have been away at most."""
FEW_RUNS: Final = 2
"""A server that refuses more often than this between connections that it accepts, while others go on, is one that
chooses."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One time that a server, or several of one host, was away; times are nanoseconds since 1970.

    Attributes:
        kind: ``away`` (it refused connections), ``forgot`` (its host was silent, and came back without them),
            ``at-once`` (it ended all of its connections in one moment), or ``worker`` (it ended some in one moment,
            and others went on).
        servers: a connection to each server concerned.
        ended: connections that it ended, in order of time.
        cut: which of those had a request under way that was never answered.
        unread: which of those were reset before the server had sent a byte: as a rule its program never had them.
        refused, silent: attempts that it refused, and that it did not answer meanwhile, in order of time.
        others: connections that were open, and on which the server spoke again afterwards.
        is_sudden: what it ended was ended in one moment, and not after an answer each.
        existed: it was heard before.
        seen_ns: when it was last heard before; -1 never.
        gone_ns: the first sign that it was gone.
        back_ns: when it accepted again; -1 never.
        back_flow: the connection that it accepted then; -1 none.
    """

    kind: Kind
    servers: tuple[int, ...]
    ended: IntArray
    cut: BoolArray
    unread: BoolArray
    refused: IntArray
    silent: IntArray
    others: IntArray
    is_sudden: bool
    existed: bool
    seen_ns: int
    gone_ns: int
    back_ns: int
    back_flow: int

    @property
    def flows(self) -> IntArray:
        """All connections concerned: those that were cut off first."""
        return np.concatenate((self.ended[self.cut], self.ended[~self.cut], self.refused, self.silent))

    @property
    def cut_at_work(self) -> int:
        """Requests that the program had taken and did not answer."""
        return int(np.count_nonzero(self.cut & ~self.unread))


def is_crash(outage: Outage) -> bool:
    """Whether it died at its work or stayed away, rather than being restarted."""
    if outage.kind == "worker" or (outage.back_ns < 0 and outage.kind == "away"):
        return True
    return outage.kind != "forgot" and outage.is_sudden and outage.cut_at_work > 0


@cached_per_tables
def outages(tables: Tables, config: Config) -> tuple[Outage, ...]:
    """All outages of the capture, those of several ports of one host as one."""
    service = Service(tables, config)
    found: list[Outage] = []
    taken = np.zeros(len(tables.flows), dtype=bool)
    for look in (_refusing, _forgetful, _at_once):
        for outage in look(service):
            if not taken[outage.ended].any():
                found.append(outage)
                taken[outage.ended] = True
    return tuple(_together(service, found))


def _refusing(service: Service) -> Iterator[Outage]:
    """Refusals between two connections that the server accepted."""
    refused = np.flatnonzero(service.is_refused)
    for flows in largest_servers(service.tables, refused, MAX_SERVERS):
        refusals = flows[service.is_refused[flows]]
        refusals = refusals[np.argsort(service.refused_ns[refusals], kind="stable")]
        accepted = flows[service.accepted_ns[flows] >= 0]
        accepted = accepted[np.argsort(service.accepted_ns[accepted], kind="stable")]
        runs = np.searchsorted(service.accepted_ns[accepted], service.refused_ns[refusals])
        places = unique(runs)
        if len(places) > MAX_RUNS and len(refusals) < 2 * len(places):
            continue  # one here and one there, all the time
        for place in places[:MAX_RUNS].tolist():
            outage = _away(service, flows, refusals[runs == place], accepted, place)
            if outage is not None and _is_meant(service, outage, len(places), len(accepted), len(refusals)):
                yield outage


def _chance(attempts: int, refusals: int, run: int) -> float:
    """A bound for the chance that so many refusals follow one another, if any of the attempts may be refused.

    A run of ``k`` has ``n - k + 1`` places, and at each of them the others are spread in ``C(n - k, r - k)`` of the
    ``C(n, r)`` orders; in logarithms.
    """

    def log_orders(n: int, r: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(r + 1) - math.lgamma(n - r + 1)

    log = math.log(attempts - run + 1) + log_orders(attempts - run, refusals - run) - log_orders(attempts, refusals)
    return math.exp(min(log, 0.0))


def _is_meant(service: Service, outage: Outage, runs: int, accepted: int, refusals: int) -> bool:
    """Whether these refusals show a server that was away, and not one that refuses now and then.

    One refusal shows it only with connections that ended abruptly; and where others went on, the refusals must follow
    one another more closely than chance would have it.
    """
    if len(outage.others):
        return runs <= FEW_RUNS and _chance(accepted + refusals, refusals, len(outage.refused)) <= SELDOM
    return len(outage.refused) > 1 or not outage.existed or bool(service.is_abrupt[outage.ended].any())


def _away(service: Service, flows: IntArray, refusals: IntArray, accepted: IntArray, place: int) -> Outage | None:
    """The outage that these refusals show; ``accepted[place]`` came after them."""
    first = int(service.refused_ns[refusals[0]])
    back = int(accepted[place]) if place < len(accepted) else -1
    back_ns = int(service.accepted_ns[back]) if back >= 0 else -1
    until = back_ns if back >= 0 else service.last_ns
    before = flows[service.is_heard[flows] & (service.start_ns[flows] < first)]
    if not len(before) and back < 0:
        return None
    accepted_ns = int(service.accepted_ns[accepted[place - 1]]) if place else 0
    since = max(accepted_ns - to_ns(service.config.moment_s), first - to_ns(service.config.stop_s))
    closes = service.close_ns[before]
    forgotten = service.is_forgotten[before] & (closes > first) & (service.spoke_ns[before] < first)
    ended = before[(service.is_ended[before] & (closes >= since) & (closes <= until)) | forgotten]
    # What a server had under way may still be answered when it has closed its listener; then it ends those as well.
    ended = ended[service.spoke_ns[ended] <= until]
    last = int(service.refused_ns[refusals[-1]])
    others = before[(service.spoke_ns[before] > (first if back >= 0 else last)) & ~among(before, ended)]
    silent = flows[service.is_silent[flows] & (service.start_ns[flows] >= first) & (service.start_ns[flows] <= until)]
    closed_ns = service.close_ns[ended]
    heard = np.concatenate((service.spoke_ns[before][service.spoke_ns[before] < first], [accepted_ns or -1]))
    return _outage(
        service, "away", ended, refusals, silent, others,
        existed=bool(len(before)), seen_ns=int(heard.max()), back=back,
        gone_ns=min(first, int(closed_ns.min())) if len(ended) else first, server=int(flows[0]),
    )  # fmt: skip


def _forgetful(service: Service) -> Iterator[Outage]:
    """A host that fell silent and came back without its connections: it answers what it knows no more by RSTs."""
    forgotten = np.flatnonzero(service.is_forgotten)
    for flows in largest_servers(service.tables, forgotten, MAX_SERVERS):
        lost = flows[service.is_forgotten[flows]]
        heard_ns = int(service.spoke_ns[lost].max())
        late = service.is_silent[flows] | (service.accepted_ns[flows] - service.start_ns[flows] > service.rto_ns)
        tried = flows[late & (service.start_ns[flows] > heard_ns)]
        accepted = flows[service.accepted_ns[flows] > heard_ns]
        if not len(tried) or not len(accepted):
            continue
        back = int(accepted[np.argmin(service.accepted_ns[accepted])])
        back_ns = int(service.accepted_ns[back])
        tried = tried[service.start_ns[tried] < back_ns]
        open_then = flows[service.is_heard[flows] & (service.start_ns[flows] < heard_ns)]
        others = open_then[(service.spoke_ns[open_then] > back_ns)]
        if not len(tried) or len(others):
            continue
        lost = lost[(service.start_ns[lost] < heard_ns) & (service.close_ns[lost] > heard_ns)]
        if not len(lost):
            continue
        yield _outage(
            service, "forgot", lost, np.zeros(0, dtype=np.int64), tried, others,
            existed=True, seen_ns=heard_ns, back=back, gone_ns=int(service.start_ns[tried].min()), server=int(flows[0]),
        )  # fmt: skip


def _at_once(service: Service) -> Iterator[Outage]:
    """Connections that a server ended in one moment without a refusal: all of them, or some with their requests."""
    # Some say why before they close, so that the close seems to follow an answer: old connections count whatever ends
    # them, young ones end all the time.
    if not service.is_ended.any():
        return
    is_old = service.close_ns - service.start_ns > to_ns(service.config.rto_s)
    is_event = service.is_ended & (service.is_abrupt | is_old)
    chosen = np.flatnonzero(is_event)
    moment_ns = to_ns(service.config.moment_s)
    chosen = chosen[service.has_close_neighbour(chosen, moment_ns)]
    for flows in largest_servers(service.tables, chosen, MAX_SERVERS):
        closed = flows[is_event[flows]]
        for _ in range(MAX_RUNS):
            moment = common_moment(service.close_ns[closed], moment_ns, service.span_ns)
            if moment is None or moment.chance > UNLIKELY:
                break
            outage = _in_one_moment(service, flows, closed[moment.members], moment.start_ns, moment.end_ns)
            if outage is not None:
                yield outage
            closed = np.delete(closed, moment.members)


def _in_one_moment(service: Service, flows: IntArray, ended: IntArray, start_ns: int, end_ns: int) -> Outage | None:
    if _ran_into_time_out(service, ended):
        return None
    open_then = flows[
        service.is_heard[flows]
        & (service.start_ns[flows] < start_ns)
        & ((service.close_ns[flows] < 0) | (service.close_ns[flows] >= start_ns))
    ]
    others = open_then[(service.spoke_ns[open_then] > end_ns) & ~among(open_then, ended)]
    accepted = flows[service.accepted_ns[flows] > end_ns]
    back = int(accepted[np.argmin(service.accepted_ns[accepted])]) if len(accepted) else -1
    cut = int(np.count_nonzero(service.is_cut[ended]))
    is_all = len(ended) >= ALL * len(open_then) and not len(others)
    if is_all:
        kind: Kind = "at-once"
        enough = back >= 0 and len(ended) >= (2 if cut else 3)
    else:
        kind = "worker"
        enough = bool(len(others)) and cut >= 2
    if not enough:
        return None
    return _outage(
        service, kind, ended, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), others,
        existed=True, seen_ns=start_ns, back=back, gone_ns=start_ns, server=int(flows[0]),
    )  # fmt: skip


def _ran_into_time_out(service: Service, ended: IntArray) -> bool:
    """Whether all had been silent for the same time when they were ended, and never for longer before."""
    quiet = service.quiet_ns[ended]
    agreed = agreement(quiet)
    if agreed is None or len(agreed.members) <= ALL * len(ended) or agreed.median_ns <= AFTER_ANSWER_NS:
        return False
    return 2 * int(np.count_nonzero(service.pause_ns[ended] > agreed.high_ns)) <= len(ended)


def _outage(service: Service, kind: Kind, ended: IntArray, refused: IntArray, silent: IntArray, others: IntArray, *,
            existed: bool, seen_ns: int, back: int, gone_ns: int, server: int) -> Outage:  # fmt: skip
    ended = ended[np.argsort(service.close_ns[ended], kind="stable")]
    return Outage(
        kind=kind,
        servers=(server,),
        ended=ended,
        cut=service.is_cut[ended],
        unread=service.is_unread[ended],
        refused=refused,
        silent=silent,
        others=others,
        is_sudden=kind in ("at-once", "worker") or _is_sudden(service, ended),
        existed=existed,
        seen_ns=seen_ns,
        gone_ns=gone_ns,
        back_ns=int(service.accepted_ns[back]) if back >= 0 else -1,
        back_flow=back,
    )


def _is_sudden(service: Service, ended: IntArray) -> bool:
    """Whether those that were cut off in something all ended in one moment, and most others in it as well."""
    closes = service.close_ns[ended]
    abrupt = closes[service.is_abrupt[ended]]
    moment_ns = to_ns(service.config.moment_s)
    if not len(abrupt) or int(np.ptp(abrupt)) > moment_ns:
        return False
    near = (closes >= abrupt.min() - moment_ns) & (closes <= abrupt.max() + moment_ns)
    return 2 * int(np.count_nonzero(near)) > len(ended)


def _together(service: Service, found: list[Outage]) -> Iterator[Outage]:
    """Outages of several ports of one host that began together are one, unless another port of it went on."""
    hosts = host_keys(service.tables, SERVER)
    ports = server_numbers(service.tables)
    rest = sorted(found, key=lambda outage: (int(hosts[outage.servers[0]]), outage.gone_ns))
    while rest:
        first = rest.pop(0)
        fellows = [
            other
            for other in rest
            if hosts[other.servers[0]] == hosts[first.servers[0]]
            and other.gone_ns - first.gone_ns <= to_ns(service.config.host_moment_s)
            and "worker" not in (first.kind, other.kind)
        ]
        keys = {int(ports[outage.servers[0]]) for outage in (first, *fellows)}
        if len(keys) < 2 or len(keys) <= len(fellows) or _goes_on(service, first, keys):
            yield first
            continue
        rest = [other for other in rest if other not in fellows]
        yield merged(service, [first, *fellows])


def _goes_on(service: Service, outage: Outage, keys: set[int]) -> bool:
    """Whether another port of this host accepted a connection or spoke while these were away."""
    hosts = host_keys(service.tables, SERVER)
    others = np.flatnonzero(hosts == hosts[outage.servers[0]])
    others = others[~among(service.keys[others], np.array(sorted(keys), dtype=np.int64))]
    until = outage.back_ns if outage.back_ns >= 0 else service.last_ns
    spoke = service.spoke_ns[others]
    went_on = (service.start_ns[others] < outage.gone_ns) & (spoke > outage.gone_ns + service.rto_ns)
    accepted = service.accepted_ns[others]
    return bool(np.any(went_on | ((accepted > outage.gone_ns) & (accepted < until))))


def merged(service: Service, parts: list[Outage]) -> Outage:
    """Several outages as one."""
    # It is back when all of them are.
    back = max(parts, key=lambda part: part.back_ns if part.back_ns >= 0 else service.last_ns + 1)
    ended = np.concatenate([part.ended for part in parts])
    order = np.argsort(service.close_ns[ended], kind="stable")
    return Outage(
        kind=next(kind for kind in _KINDS if any(part.kind == kind for part in parts)),
        servers=tuple(part.servers[0] for part in parts),
        ended=ended[order],
        cut=np.concatenate([part.cut for part in parts])[order],
        unread=np.concatenate([part.unread for part in parts])[order],
        refused=_in_order(service.refused_ns, [part.refused for part in parts]),
        silent=_in_order(service.start_ns, [part.silent for part in parts]),
        others=np.concatenate([part.others for part in parts]),
        is_sudden=all(part.is_sudden for part in parts),
        existed=any(part.existed for part in parts),
        seen_ns=max(part.seen_ns for part in parts),
        gone_ns=min(part.gone_ns for part in parts),
        back_ns=back.back_ns,
        back_flow=back.back_flow,
    )


def _in_order(times_ns: IntArray, parts: list[IntArray]) -> IntArray:
    flows = np.concatenate(parts)
    return flows[np.argsort(times_ns[flows], kind="stable")]
