"""What the laboratory's scenarios are told as: the incident that a reader of their docstrings expects, or none.

What is expected was written down from the names and docstrings in ``fixtures/lab/scenarios`` before the diagnosis was
asked. Where the two differed, the packets decided.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import pytest

import pcapflow
from fixtures.captures import VIEWS, View, kernel_capture, scenarios_in
from pcapflow.anomalies.model import Anomaly, Severity

INFO, LOW, MEDIUM = Severity.INFO, Severity.LOW, Severity.MEDIUM


class Expected(NamedTuple):
    """An incident that the captures of some scenarios are told as.

    Attributes:
        pattern: its pattern.
        scenarios: their names without the variant, as a regular expression.
        views: the ends of the wire where it can be seen.
        always: it must be told; what programs do at random may do it or not.
    """

    pattern: str
    scenarios: str
    views: tuple[View, ...] = VIEWS
    always: bool = True


class Alone(NamedTuple):
    """Anomalies behind which no incident stands.

    Attributes:
        rules: codes, each with its cause where the rule names one.
        scenarios: the names of the scenarios without the variant, as a regular expression.
        why: why there is no incident.
        at_most: the highest severity for which that is a reason.
    """

    rules: tuple[str, ...]
    scenarios: str
    why: str
    at_most: Severity = INFO


INCIDENTS: Final = (
    Expected("filtered", "open_syn_never_answered", ("client",)),
    Expected("filtered", "open_synack_never_arrives"),
    Expected("refused-port", "open_refused|open_refused_reset_lost"),
    # The firewall's RSTs are all that is heard in the host's name: no other TTL tells that they are not its own.
    Expected("refused-port", "open_filtered_by_reset", ("client",)),
    Expected("firewall-rejects", "open_filtered_by_icmp|open_filtered_by_icmpv6", ("client",)),
    Expected("not-accepting", "open_queue_overflow|open_queue_overflow_aborted"),
    Expected("syn-flood", "open_syn_flood|open_syn_cookies_under_flood"),
    Expected(
        "early-port-reuse",
        "open_half_open_recovered|reuse_in_close_wait|reuse_in_last_ack|reuse_challenged_in_time_wait",
    ),
    Expected("close-wait-leak", "close_wait_leak"),
    Expected("slow-reader", "close_into_zero_window"),
    Expected("stale-reuse", "abort_data_after_close|close_reader_gone_then_write"),
    Expected(
        "unread-data-reset",
        "abort_unread_data_by_server|abort_unread_data_after_fin|abort_process_killed_with_unread_data|"
        "abort_data_crosses_close|open_listener_closes_first",
    ),
    # What the full queue held back was let in before anything was repeated. What is seen is that the program, which
    # closes at once, has not read what its clients had sent.
    Expected("unread-data-reset", "open_queue_overflow_recovered"),
    # After a FIN of its own, an abort on purpose and a close with data unread are the same RST: it is told as possible.
    Expected("unread-data-reset", "abort_in_fin_wait_2"),
    # At the client the RST passes before the data that it destroys.
    Expected("unread-data-reset", "abort_crosses_data", ("server",)),
    Expected("unread-data-reset", "random_loss_.*", always=False),
    Expected("loss", "random_loss_(2|8|15)", always=False),
)

ALONE: Final = (
    Alone(
        ("PF108", "PF206", "PF207"),
        "open_simultaneous.*|close_simultaneous.*|close_half_close_.*|random_loss_.*",
        "the standard knows this way to open or to close: nothing went wrong",
    ),
    Alone(
        ("PF201",),
        "close_.*_lost_once|close_server_first_ack_of_the_first_fin_lost_for_good|reuse_.*|random_loss_.*",
        "the FIN was sent again and answered: that is what TIME_WAIT is for",
    ),
    Alone(
        ("PF201",),
        "close_.*_lost_for_good",
        "one connection, all of whose data had arrived: what was lost is told, and nothing else shows why",
        MEDIUM,
    ),
    Alone(
        ("PF104",),
        "open_ack_never_arrives|open_synack_never_arrives",
        "one client that does not complete its handshake: from the server's side a lost SYN-ACK, a lost ACK and a "
        "client that is gone look the same",
        MEDIUM,
    ),
    Alone(
        ("PF101",),
        "random_loss_15",
        "a single attempt, to a server that answered all others in the same moment",
        LOW,
    ),
    Alone(
        ("PF103",),
        "open_despite_icmp|abort_unreachable_for_a_while",
        "the connection went on regardless, as it should (RFC 1122, 4.2.3.9)",
    ),
    Alone(
        ("PF211",),
        "reuse_after_.*|reuse_with_lost_syn",
        "the server accepted the new connection without an objection to its SYN",
    ),
    Alone(
        ("PF212",),
        ".*_everything_twice|.*_lost_once|.*_lost_for_good|close_late_duplicate_of_data|abort_time_wait_assassinated|"
        "random_loss_.*",
        "both sides had closed and had everything: the RST had nothing left to destroy",
    ),
    Alone(
        ("PF301 linger-zero",),
        "abort_.*|reuse_after_reset|random_loss_.*",
        "nobody waited for anything and nothing was lost: some programs end so on purpose",
    ),
    Alone(
        ("PF301 unknown",),
        "open_then_abandoned|random_loss_.*",
        "nothing was lost: who had begun to open or to close the connection gave it up",
    ),
    Alone(
        ("PF301 data-after-close", "PF302 data-after-close"),
        "close_orphan_.*",
        "a server that goes on to speak to a client that has closed: what comes then was not waited for",
        LOW,
    ),
    Alone(
        ("PF301 data-after-close", "PF302 data-after-close"),
        "abort_(host_restarted|keepalive_peer_gone|given_up_then_back|lost_then_data|injected_.*)",
        "one connection of which its peer knows nothing any more: a restart, a RST that was lost and one that was "
        "forged look the same, and no other connection tells which",
        MEDIUM,
    ),
    Alone(
        ("PF301 data-after-close", "PF302 data-after-close"),
        "random_loss_.*",
        "one side closed while the other was still speaking, as these programs do at random",
        MEDIUM,
    ),
    Alone(
        ("PF301 keepalive-timeout", "PF403"),
        "abort_keepalive_exhausted",
        "one connection that fell silent: whether the host, the path or a device is behind it, only others could tell",
        MEDIUM,
    ),
    Alone(
        ("PF303",),
        "abort_(out_of_window_ignored|below_window_ignored|challenged)",
        "the RST did nothing, and nothing shows who sent it",
        LOW,
    ),
    Alone(
        ("PF304 injected", "PF301 injected", "PF302 injected"),
        "abort_injected_.*",
        "the rule itself names the cause: somebody on the path sent a RST, and no other connection shows why",
        MEDIUM,
    ),
    Alone(
        ("PF903",),
        ".*_everything_twice|random_loss_(2|8|15)",
        "copies of packets do no harm: each packet was analysed once",
    ),
)

_VARIANT = re.compile(r"_(ipv6|no_timestamps)$")


class Said(NamedTuple):
    """What the diagnosis says of one capture: the patterns of its incidents, and the anomalies that stand alone."""

    patterns: tuple[str, ...]
    alone: tuple[Anomaly, ...]


@functools.cache
def said_of(scenario: str, view: View) -> Said:
    found = pcapflow.analyze(kernel_capture(scenario, view), reader="native")
    return Said(tuple(incident.pattern for incident in found.diagnosis), tuple(found.unexplained))


def expected_of(scenario: str, view: View) -> list[Expected]:
    return [each for each in INCIDENTS if view in each.views and _is_of(each.scenarios, scenario)]


def reasons_of(scenario: str, anomaly: Anomaly) -> list[Alone]:
    rule = f"{anomaly.code} {anomaly.cause}".strip()
    return [
        each
        for each in ALONE
        if rule in each.rules and anomaly.severity <= each.at_most and _is_of(each.scenarios, scenario)
    ]


def _is_of(scenarios: str, scenario: str) -> bool:
    return re.fullmatch(scenarios, _VARIANT.sub("", scenario)) is not None


def disagreements(scenario: str, view: View, said: Said) -> Iterator[str]:
    """A sentence for each thing that is told and was not expected, or the other way round."""
    expected = expected_of(scenario, view)
    for each in expected:
        if each.always and each.pattern not in said.patterns:
            yield f"{view}: {each.pattern} is not told, but {said.patterns or 'nothing'}"
    for pattern in sorted({*said.patterns} - {each.pattern for each in expected}):
        yield f"{view}: {pattern} is told, and nobody expects it"
    for anomaly in said.alone:
        if not reasons_of(scenario, anomaly):
            label = f"{anomaly.severity.label} {anomaly.code} {anomaly.cause}"
            yield f"{view}: no incident explains {label}, and no reason says why: {anomaly.detail}"


@pytest.mark.parametrize("scenario", scenarios_in())
def test_every_anomaly_is_explained_as_the_scenario_would_have_it_or_stands_alone_for_a_reason(scenario: str) -> None:
    assert [text for view in VIEWS for text in disagreements(scenario, view, said_of(scenario, view))] == []


def test_every_expectation_and_every_reason_is_needed() -> None:
    told: set[Expected] = set()
    needed: set[Alone] = set()
    for scenario in scenarios_in():
        for view in VIEWS:
            said = said_of(scenario, view)
            told.update(each for each in expected_of(scenario, view) if each.pattern in said.patterns)
            for anomaly in said.alone:
                needed.update(reasons_of(scenario, anomaly))

    assert [each for each in INCIDENTS if each not in told] == []
    assert [each for each in ALONE if each not in needed] == []


def _anomaly(code: str, cause: str, severity: Severity) -> Anomaly:
    return Anomaly(
        code=code, name="", severity=severity, flow=0, endpoint=0, time_ns=0, frames=(1,), detail="", cause=cause
    )


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (Said((), ()), "refused-port is not told"),
        (Said(("refused-port", "restart"), ()), "restart is told, and nobody expects it"),
        (Said(("refused-port",), (_anomaly("PF301", "linger-zero", INFO),)), "no incident explains info PF301"),
        (Said(("refused-port",), ()), ""),
    ],
)
def test_what_differs_is_found(said: Said, complaint: str) -> None:
    assert [complaint in text for text in disagreements("open_refused_ipv6", "client", said)] == [True] * bool(
        complaint
    )


def test_a_reason_is_none_for_what_is_worse() -> None:
    def said(severity: Severity) -> Sequence[str]:
        return list(disagreements("abort_at_once", "client", Said((), (_anomaly("PF301", "linger-zero", severity),))))

    assert (said(INFO), len(said(LOW))) == ([], 1)
