"""A server that was away several times is one incident: a crash loop, or workers that die one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from pcapflow.anomalies.cite import in_frames, proof
from pcapflow.anomalies.model import CERTAIN, LIKELY, Severity
from pcapflow.diagnosis.case import Case, named
from pcapflow.diagnosis.model import Explanation, Observation, Remedy
from pcapflow.diagnosis.outage_words import (
    away_ns,
    blame,
    closing_frames,
    end_ns,
    explains,
    harm,
    hosts,
    is_database,
    is_short,
    where,
)
from pcapflow.diagnosis.outages import Outage, is_crash, merged, outages
from pcapflow.diagnosis.service import Service
from pcapflow.text.phrases import counted, duration, how_often
from pcapflow.text.times import time_of_day

_SHOWN: Final = 4


def series(case: Case, service: Service) -> Iterator[tuple[Outage, ...]]:
    """The outages worth telling, those of one server that are of one nature together, in order of time."""
    together: dict[tuple[object, ...], list[Outage]] = {}
    for outage in outages(case.tables, case.config):
        if outage.kind == "at-once" and not is_crash(outage) and not _did_harm(case, service, outage):
            continue
        key = (service.keys[list(outage.servers)].tobytes(), outage.kind == "worker", outage.existed)
        together.setdefault(key, []).append(outage)
    for parts in together.values():
        yield tuple(sorted(parts, key=lambda outage: outage.gone_ns))


def _did_harm(case: Case, service: Service, outage: Outage) -> bool:
    """Whether anybody lost anything; a reload that closes idle connections looks the same, but at a database."""
    return is_database(case, outage) or did_harm_to_any(service, outage)


def did_harm_to_any(service: Service, outage: Outage) -> bool:
    """Whether a request was cut off, or a client wrote to what had been ended."""
    return bool(outage.cut.any() or service.was_written_to[outage.ended].any())


def explanation(case: Case, service: Service, parts: Sequence[Outage], remedy: tuple[Remedy, ...]) -> Explanation:
    """What is said of several outages of one server."""
    first, last = parts[0], parts[-1]
    whole = dataclasses.replace(merged(service, list(parts)), servers=first.servers)
    return Explanation(
        severity=_severity(case, service, parts),
        confidence=CERTAIN if first.kind == "away" and len(whole.refused) > 1 else LIKELY,
        headline=_headline(case, parts, whole),
        blame=blame(case, first),
        start_ns=first.gone_ns,
        end_ns=end_ns(case, last),
        flows=named(whole.flows),
        count=len(whole.flows),
        hosts=hosts(case, whole),
        explains=explains(case, whole),
        why=tuple(_why(case, parts)),
        against=("each time alone could be a restart on purpose; so many in this time are seldom meant",),
        remedy=remedy,
    )


def _severity(case: Case, service: Service, parts: Sequence[Outage]) -> Severity:
    last = parts[-1]
    if last.back_ns < 0 and last.kind == "away" and not is_short(case, last):
        return Severity.HIGH
    turned_away = any(len(part.refused) + len(part.silent) for part in parts)
    return Severity.MEDIUM if turned_away or any(did_harm_to_any(service, part) for part in parts) else Severity.INFO


def _headline(case: Case, parts: Sequence[Outage], whole: Outage) -> str:
    server, often = where(case, whole), how_often(len(parts))
    between = f"between {time_of_day(parts[0].gone_ns)} and {time_of_day(parts[-1].gone_ns)}"
    if parts[0].kind == "worker":
        cut = counted(int(np.count_nonzero(whole.cut)), "request")
        return f"Workers of {server} died {often} {between}, while others went on: {cut} got no answer."
    back = [part for part in parts if part.back_ns >= 0]
    lengths = sorted(away_ns(case, part) for part in back)
    ends = dict.fromkeys(duration(length) for length in lengths[:1] + lengths[-1:])
    lasted = f", for {' to '.join(ends)} each" if lengths else ""
    then = "" if len(back) == len(parts) else ", and was not back when the capture ended"
    return f"{server} went away {often} {between}{lasted}{then}: {harm(case, whole)}."


def _why(case: Case, parts: Sequence[Outage]) -> Iterator[Observation]:
    for part in parts[:_SHOWN]:
        frames = proof([*closing_frames(case, part.ended[:2]), *case.frames("reset_frame", part.refused[:1])])
        back = f"back after {duration(away_ns(case, part))}" if part.back_ns >= 0 else "not back"
        text = f"{time_of_day(part.gone_ns)}: {harm(case, part)}"
        yield Observation(
            f"{text}, {back}{in_frames(frames)}" if part.kind != "worker" else text + in_frames(frames), frames
        )
    if len(parts) > _SHOWN:
        yield Observation(f"and {how_often(len(parts) - _SHOWN)} more")
