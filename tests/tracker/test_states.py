"""The table of transitions: total, free of dead ends, and what the compiled machine uses."""

from __future__ import annotations

import itertools

import pytest

from pcapflow.tcp import states as s

STATES = range(s.N_STATES)
EVENTS = range(s.N_EVENTS)
RESETS = {s.RST_TX, s.RST_RX}


def test_every_state_and_event_is_an_edge_or_none() -> None:
    """The flat list is the table, and nothing but the table."""
    assert len(s.EDGES) == s.N_STATES * s.N_EVENTS
    for state, event in itertools.product(STATES, EVENTS):
        assert s.EDGES[state * s.N_EVENTS + event] == s.TRANSITIONS.get((state, event), s.NO_EDGE)


def test_every_code_has_a_name() -> None:
    assert len(set(s.STATE_NAMES)) == s.N_STATES
    assert len(set(s.EVENT_NAMES)) == s.N_EVENTS
    assert s.STATE_NAMES[s.TIME_WAIT] == "TIME_WAIT"
    assert s.EVENT_NAMES[s.ACK_OF_FIN_RX] == "ACK of FIN received"


def test_no_edge_leads_nowhere() -> None:
    """A transition changes the state, and never to what only the lack of knowledge means."""
    for (state, _), new in s.TRANSITIONS.items():
        assert new != state
        assert new not in {s.UNKNOWN, s.LISTEN}


@pytest.mark.parametrize("event", sorted(RESETS))
def test_a_reset_ends_every_connection_that_there_is(event: int) -> None:
    """RFC 9293, 3.5.3: in CLOSED there is none, in LISTEN none yet. Of an unseen endpoint only its own RST tells."""
    none = {s.CLOSED, s.LISTEN} | ({s.UNKNOWN} if event == s.RST_RX else set())
    for state in STATES:
        assert s.TRANSITIONS.get((state, event)) == (None if state in none else s.CLOSED)


def test_all_eleven_states_can_be_reached() -> None:
    """From CLOSED and LISTEN, by what TCP itself does."""
    reached = {s.CLOSED, s.LISTEN}
    while more := {new for (state, _), new in s.TRANSITIONS.items() if state in reached} - reached:
        reached |= more
    assert reached == set(STATES) - {s.UNKNOWN}


def test_time_wait_and_closed_are_ends() -> None:
    """TIME_WAIT's end is a timer that nobody sees; only a RST is an event there. From CLOSED only a SYN leads on."""
    assert {event for state, event in s.TRANSITIONS if state == s.TIME_WAIT} == RESETS
    assert {event for state, event in s.TRANSITIONS if state == s.CLOSED} == {s.SYN_TX}


@pytest.mark.parametrize(
    ("events", "path"),
    [
        ([s.FIN_TX, s.ACK_OF_FIN_RX, s.FIN_RX], [s.FIN_WAIT_1, s.FIN_WAIT_2, s.TIME_WAIT]),
        ([s.FIN_TX, s.FIN_RX, s.ACK_OF_FIN_RX], [s.FIN_WAIT_1, s.CLOSING, s.TIME_WAIT]),
        ([s.FIN_RX, s.FIN_TX, s.ACK_OF_FIN_RX], [s.CLOSE_WAIT, s.LAST_ACK, s.CLOSED]),
    ],
    ids=["active close", "crossing FINs", "passive close"],
)
def test_the_three_ways_to_close(events: list[int], path: list[int]) -> None:
    """RFC 9293, figure 5: the order of two events decides between FIN_WAIT_2 and CLOSING."""
    state, walked = s.ESTABLISHED, []
    for event in events:
        state = s.TRANSITIONS[state, event]
        walked.append(state)
    assert walked == path


def test_a_fin_is_sent_once() -> None:
    """Where a FIN was sent already there is no edge for another: a repeat changes nothing."""
    for state in (s.FIN_WAIT_1, s.FIN_WAIT_2, s.CLOSING, s.LAST_ACK, s.TIME_WAIT):
        assert (state, s.FIN_TX) not in s.TRANSITIONS
