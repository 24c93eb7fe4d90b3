"""What a connection is kept as: a row of the SYN cache, a flow, a row of the log. None of it may show in the tables."""

from __future__ import annotations

import dataclasses
import random

import pytest

from fixtures.frames import ACK, FIN, RST, SYN, Segment
from fixtures.ladder import START_NS
from pcapflow.reader.segment_batch import ICMP_QUOTE
from pcapflow.tables.table import Tables
from pcapflow.tcp.marks import MARK_NAMES
from pcapflow.tcp.states import ENDPOINT_NAMES, STATE_NAMES
from pcapflow.tracker import FlowTable
from pcapflow.tracker.closed_queue import LINGER_NS, LONG_LINGER_NS
from pcapflow.tracker.syn_cache import ROWS
from tests.ladders import RTO_NS, Row, check_chains, run

CLIENT, SERVER = "192.0.2.1", "198.51.100.2"
SECOND: int = 1_000_000_000


def up(flags: int, seq: int, ack: int = 0, *, port: int = 40_000, payload: int = 0) -> Segment:
    """A segment of the client's."""
    return Segment(CLIENT, SERVER, port, 80, seq, ack, flags, 64_240, payload=b"\0" * payload)


def down(flags: int, seq: int, ack: int = 0, *, port: int = 40_000, payload: int = 0) -> Segment:
    """A segment of the server's."""
    return Segment(SERVER, CLIENT, 80, port, seq, ack, flags, 65_160, payload=b"\0" * payload)


def timed(*segments: tuple[float, Segment]) -> list[Row]:
    """Segments with their times in seconds."""
    return [Row(START_NS + round(seconds * SECOND), segment) for seconds, segment in segments]


def closed_connection(port: int = 40_000) -> list[tuple[float, Segment]]:
    """Opened and closed by both sides within a tenth of a second."""
    return [
        (0.00, up(SYN, 1000, port=port)),
        (0.01, down(SYN | ACK, 5000, 1001, port=port)),
        (0.02, up(ACK, 1001, 5001, port=port)),
        (0.03, up(FIN | ACK, 1001, 5001, port=port)),
        (0.04, down(FIN | ACK, 5001, 1002, port=port)),
        (0.05, up(ACK, 1002, 5002, port=port)),
    ]


def elsewhere(seconds: float) -> tuple[float, Segment]:
    """A segment of another connection, by which time goes on."""
    return seconds, up(SYN, 7, port=50_000 + round(seconds))


def states(tables: Tables, flow: int = 0) -> tuple[str, str]:
    """Both ends' last states."""
    return STATE_NAMES[tables.flows["client_state"][flow]], STATE_NAMES[tables.flows["server_state"][flow]]


def marks(tables: Tables, flow: int = 0) -> list[str]:
    """The marks of a flow."""
    return [MARK_NAMES[code] for code in tables.marks["mark"][tables.marks["flow"] == flow]]


def test_the_size_of_a_batch_does_not_show() -> None:
    """Closed connections are looked at between batches: where these end must make no difference."""
    chance = random.Random(7)
    soup = []
    for _ in range(3000):
        port, flags = 40_000 + chance.randrange(40), chance.choice((SYN, SYN | ACK, ACK, FIN | ACK, RST, RST | ACK))
        make = chance.choice((up, down))
        soup.append(make(flags, chance.randrange(4), chance.randrange(4), port=port, payload=chance.choice((0, 0, 1))))
    rows = timed(*((at / 300, segment) for at, segment in enumerate(soup)))

    whole, single = run(rows), run(rows, rows_per_batch=1)

    check_chains(whole)
    for table in ("flows", "transitions", "marks"):
        for name in getattr(whole, table).schema:
            assert list(getattr(whole, table)[name]) == list(getattr(single, table)[name]), f"{table}.{name}"


def test_a_late_segment_of_a_written_connection_is_still_its_own() -> None:
    """Wireshark counts it into the same stream; it changes no state any more."""
    end = LINGER_NS / SECOND
    tables = run(
        timed(
            *closed_connection(),
            elsewhere(end + 1),
            (end + 2, up(ACK, 1002, 5002, payload=10)),
            (end + 3, down(RST, 5002)),
        ),
        rows_per_batch=1,
    )

    assert states(tables) == ("TIME_WAIT", "CLOSED")
    assert (tables.flows["client_packets"][0], tables.flows["server_packets"][0]) == (5, 3)
    assert (tables.flows["client_bytes"][0], tables.flows["server_rsts"][0]) == (10, 1)
    assert tables.flows["last_frame"][0] == 9
    assert tables.flows["end_ns"][0] == START_NS + round((end + 3) * SECOND)
    assert tables.flows["completeness"][0] == 1 + 2 + 4 + 8 + 16 + 32
    assert marks(tables) == ["data-after-close", "reset-after-close"]
    assert len(tables.flows) == 2


@pytest.mark.parametrize("after_s", [1, LINGER_NS / SECOND + 2], ids=["a flow", "a row"])
def test_an_icmp_error_that_quotes_a_closed_connection_is_marked(after_s: float) -> None:
    quote = dataclasses.replace(up(ACK, 1001, 5001, payload=20), window=3 << 8 | 13)
    *before, quoted = timed(*closed_connection(), elsewhere(after_s - 0.5), (after_s, quote))
    tables = run([*before, dataclasses.replace(quoted, flags=ICMP_QUOTE)], rows_per_batch=1)

    assert marks(tables) == ["icmp-unreachable"]
    assert [ENDPOINT_NAMES[code] for code in tables.marks["endpoint"]] == ["client"]
    assert tables.flows["client_packets"][0] == 4


def test_a_segment_within_the_linger_is_followed_as_ever() -> None:
    """A repeated FIN shows that the last ACK did not arrive: the state is taken back."""
    again = LINGER_NS / SECOND - 1
    tables = run(timed(*closed_connection(), elsewhere(1), (again, down(FIN | ACK, 5001, 1002))), rows_per_batch=1)

    assert states(tables) == ("TIME_WAIT", "LAST_ACK")
    assert "taken-back" in marks(tables)


def test_after_a_repeated_fin_the_next_repeat_is_waited_for() -> None:
    """Retransmission time-outs double: the next one may be two minutes away."""
    tables = run(
        timed(
            *closed_connection(),
            (9.0, down(FIN | ACK, 5001, 1002)),
            (9.1, up(ACK, 1002, 5002)),
            elsewhere(LINGER_NS / SECOND + 10),
            elsewhere(LONG_LINGER_NS / SECOND),
            (LONG_LINGER_NS / SECOND + 1, down(FIN | ACK, 5001, 1002)),
        ),
        rows_per_batch=1,
    )

    assert states(tables) == ("TIME_WAIT", "LAST_ACK")


def test_a_connection_that_a_second_reset_ended_is_written_too() -> None:
    """The first RST was lost. After the second one, time runs as after any other."""
    end = LONG_LINGER_NS / SECOND
    tables = run(
        timed(
            *closed_connection()[:3],
            (0.1, down(RST | ACK, 5001, 1001)),
            (1.0, up(ACK, 1001, 5001, payload=10)),
            (1.1, down(RST, 5001)),
            elsewhere(end + 10),
            (end + 11, up(ACK, 1011, 5001, payload=10)),
        ),
        rows_per_batch=1,
    )

    assert states(tables) == ("CLOSED", "CLOSED")
    assert marks(tables)[-1] == "data-after-close"


def test_a_connection_that_was_not_over_after_all_is_followed() -> None:
    """Its last ACK was lost, however long it takes until there is another."""
    end = LONG_LINGER_NS / SECOND
    tables = run(
        timed(
            *closed_connection(),
            (1.0, down(FIN | ACK, 5001, 1002)),
            elsewhere(end + 10),
            (end + 11, up(ACK, 1002, 5002)),
        ),
        rows_per_batch=1,
    )

    assert states(tables) == ("TIME_WAIT", "CLOSED")


def test_a_closed_connection_that_is_let_go_is_written_once() -> None:
    """It was the one opened first when there were too many, and time has run out for it all the same."""
    others = [(1 + at, segment) for at in range(2) for _, segment in closed_connection(50_000 + at)[:3]]
    tables = run(
        timed(*closed_connection(), *others, (LINGER_NS / SECOND + 10, up(ACK, 1001, 5001, port=50_000))),
        rows_per_batch=1,
        max_open_flows=2,
    )

    assert tables.capture.evicted == 1
    assert list(tables.flows["client_port"]) == [40_000, 50_000, 50_001]


def test_after_a_reset_its_receiver_is_waited_for() -> None:
    """Whoever did not get it goes on sending, at time-outs that double."""
    later = LINGER_NS / SECOND + 5
    tables = run(
        timed(
            *closed_connection()[:3],
            (0.1, up(RST | ACK, 1001, 5001)),
            elsewhere(later),
            (later + 1, down(ACK, 5001, 1001, payload=10)),
        ),
        rows_per_batch=1,
    )

    assert states(tables) == ("CLOSED", "ESTABLISHED")


def test_a_clock_set_back_makes_nothing_late() -> None:
    """A connection an hour before the latest time stamp has not been closed for an hour."""
    rows = timed((3600.0, up(SYN, 7, port=50_000)), *closed_connection(), (9.0, down(FIN | ACK, 5001, 1002)))

    assert states(run(rows, rows_per_batch=1), 1) == ("TIME_WAIT", "LAST_ACK")


@pytest.mark.parametrize(("isn", "flows"), [(1000, 2), (9000, 3)], ids=["the same SYN", "another SYN"])
def test_a_syn_on_a_written_connection(isn: int, flows: int) -> None:
    """With the old number it is a copy; with another one it opens a new connection on the same ports."""
    end = LINGER_NS / SECOND
    tables = run(timed(*closed_connection(), elsewhere(end + 1), (end + 2, up(SYN, isn))), rows_per_batch=1)

    assert len(tables.flows) == flows
    assert tables.flows["client_packets"][0] == 4 + (isn == 1000)
    assert (marks(tables, 2) == ["port-reuse"]) == (isn == 9000)


def counted(rows: list[Row], last: int, tsval: int, *, uses_tsvals: bool) -> list[Row]:
    """Rows of a client that counts its packets and its time, the last one with these numbers."""
    *before, syn = rows
    own = [row for row in before if row.segment.src == CLIENT and row.segment.sport == 40_000]
    numbers = {id(row): at for at, row in enumerate(own)}
    return [
        dataclasses.replace(
            row,
            segment=dataclasses.replace(row.segment, ident=(65_535 + numbers[id(row)]) % 65_536),
            tsval=(2**32 - 40 + 40 * numbers[id(row)]) % 2**32 if uses_tsvals else -1,
        )
        if id(row) in numbers
        else row
        for row in before
    ] + [dataclasses.replace(syn, segment=dataclasses.replace(syn.segment, ident=last), tsval=tsval)]


@pytest.mark.parametrize("rows_per_batch", [1, 100], ids=["a row", "a flow"])
@pytest.mark.parametrize(
    ("uses_tsvals", "ident", "tsval", "flows"),
    [
        (False, 3, -1, 3),
        (False, 2, -1, 2),
        (False, 0, -1, 2),
        (False, 65_535, -1, 2),
        (False, 40_000, -1, 2),
        (False, 3, 90_000, 3),
        (True, 2, 17_000, 3),
        (True, 2, 2**32 - 40, 2),
        (True, 2, 2**32 - 30, 2),
        (True, 2, 2**31 + 90, 2),
        (True, 2, -1, 2),
    ],
)
def test_the_same_syn_on_a_closed_connection(
    uses_tsvals: bool, ident: int, tsval: int, flows: int, rows_per_batch: int
) -> None:
    """It opens a new connection where it was sent after the old one's end, in whatever form that is kept."""
    end = LINGER_NS / SECOND
    rows = timed(*closed_connection(), elsewhere(end + 1), (end + 2, up(SYN, 1000)))
    tables = run(counted(rows, ident, tsval, uses_tsvals=uses_tsvals), rows_per_batch=rows_per_batch)

    assert len(tables.flows) == flows
    assert list(tables.flows["stream"]) == [0, 1, 0][:flows]
    assert tables.flows["client_packets"][0] == 4 + (flows == 2)


def test_the_same_number_again_and_again() -> None:
    """Each connection is one of its own, all are one stream, and a flow table of one shard says the same."""
    rows = [
        dataclasses.replace(row, segment=dataclasses.replace(row.segment, ident=at), time_ns=row.time_ns + n * SECOND)
        for n in range(50)
        for at, row in enumerate(timed(*closed_connection()), 6 * n + 1)
    ]

    whole, single = run(rows), run(rows, rows_per_batch=1, shards=range(2))

    assert list(whole.flows["stream"]) == [0] * 50
    for table in ("flows", "transitions", "marks"):
        for name in getattr(whole, table).schema:
            assert list(getattr(whole, table)[name]) == list(getattr(single, table)[name]), f"{table}.{name}"


def test_the_syn_cache_gives_way_to_a_flow_whatever_comes_third() -> None:
    """Handshake, repeated SYN, refusal, data in the SYN: the row begins with the very first segment."""
    third = {
        40_000: up(ACK, 1001, 5001, port=40_000),
        40_001: up(SYN, 1000, port=40_001),
        40_002: down(RST | ACK, 5001, 1001, port=40_002),
        40_003: down(SYN | ACK, 5000, 1001, port=40_003),
        40_004: down(SYN | ACK, 5000, 77, port=40_004),
    }
    opening = [
        (at / 100, one)
        for at, port in enumerate(third)
        for one in (up(SYN, 1000, port=port), down(SYN | ACK, 5000, 1001, port=port))
    ]

    tables = run(timed(*opening, *((1 + at / 100, segment) for at, segment in enumerate(third.values()))))

    packets = tables.flows["client_packets"] + tables.flows["server_packets"]
    assert list(packets) == [3] * len(third)
    assert list(tables.flows["first_frame"]) == [1, 3, 5, 7, 9]
    assert [states(tables, flow)[0] for flow in range(3)] == ["ESTABLISHED", "SYN_SENT", "CLOSED"]


@pytest.mark.parametrize("isn", [0, 1000, 2**32 - 1])
@pytest.mark.parametrize("window", [0, 65_535])
def test_the_syn_cache_loses_nothing(isn: int, window: int) -> None:
    """An ICMP error that quotes one end makes a flow of it, and changes none of its numbers but those of the error."""
    syn = Segment("2001:db8::1", "2001:db8::2", 65_535, 1, isn, 0, SYN | 0x1C0, window, ttl=255)
    answer = Segment("2001:db8::2", "2001:db8::1", 1, 65_535, isn, (isn + 1) % 2**32, SYN | ACK | 0x40, window, ttl=0)
    options = 1460 | 15 << 16 | 1 << 24
    rows = [
        Row(START_NS, syn, tsval=2**32 - 1, tsecr=0, syn_options=options),
        Row(START_NS + 5, answer, tsval=0, tsecr=2**32 - 1, syn_options=options),
    ]
    quote = Row(START_NS + 6, dataclasses.replace(syn, flags=0), tsval=8 << 56, tsecr=9, flags=ICMP_QUOTE)

    alone, promoted, followed = run(rows), run([*rows, quote]), run([quote, *rows], rows_per_batch=1)

    of_error = {"icmp_frame": 3, "icmp_hi": 8 << 56, "icmp_lo": 9}
    for name in alone.flows.schema:
        assert promoted.flows[name][0] == of_error.get(name, alone.flows[name][0]), name
    assert len(followed.flows) == 1
    assert alone.flows["client_mss"][0] == 1460
    assert alone.flows["client_wscale"][0] == 14
    assert alone.flows["client_ttl"][0] == 255


def test_a_syn_ack_with_data_is_too_much_for_the_syn_cache() -> None:
    """It makes a flow, and nothing of it is lost."""
    tables = run(timed((0.00, up(SYN, 1000)), (0.01, down(SYN | ACK, 5000, 1001, payload=10))))

    assert tables.flows["server_bytes"][0] == 10


def test_many_connections_in_the_syn_cache_are_kept_apart() -> None:
    """More than one block of them, answered in another order than they came in."""
    ports = [1024 + n for n in range(2 * ROWS + 7)]
    answers = random.Random(3).sample(ports, len(ports) // 2)
    tables = run(
        timed(
            *((n / 1e5, up(SYN, port, port=port)) for n, port in enumerate(ports)),
            *((1 + n / 1e5, down(SYN | ACK, 9, port + 1, port=port)) for n, port in enumerate(answers)),
        )
    )

    assert list(tables.flows["client_port"]) == ports
    assert set(tables.flows["client_port"][tables.flows["server_packets"] == 1]) == set(answers)


@pytest.mark.parametrize("is_answered", [False, True], ids=["unanswered", "answered"])
def test_a_flood_drives_out_no_conversation(is_answered: bool) -> None:
    """Of too many, a connection that only knows a SYN, and perhaps its answer, goes first, however young it is."""
    flood = []
    for n in range(20):
        flood.append((1 + n / 100, up(SYN, 7, port=2000 + n)))
        if is_answered:
            flood.append((1.001 + n / 100, down(SYN | ACK, 9, 8, port=2000 + n)))
    rows = timed(*closed_connection()[:3], *flood, (2.0, up(ACK, 1001, 5001, payload=10)))

    tables = run(rows, max_open_flows=5)

    assert tables.capture.evicted == 16
    assert states(tables) == ("ESTABLISHED", "ESTABLISHED")
    assert list(tables.flows["client_port"]) == [40_000, *range(2000, 2020)]
    assert tables.flows["client_bytes"][0] == 10


def test_one_tuple_used_again_and_again() -> None:
    """Each SYN is a connection of its own, and what is kept of the ones before it does not pile up in a chain."""
    many = 1500
    tables = run(timed(*((n / 1000, up(SYN, 2 * n)) for n in range(many))))

    assert len(tables.flows) == many
    assert list(tables.flows["client_packets"]) == [1] * many
    assert list(tables.marks["flow"]) == list(range(1, many))


@pytest.mark.parametrize(("others", "state"), [(40, "LAST_ACK"), (60, "CLOSED")])
def test_closed_connections_are_written_early_when_there_are_too_many(others: int, state: str) -> None:
    """Their number is bounded, however fast they come and go: a repeated FIN then comes too late to be understood."""
    refused = [
        (0.1 + n / 1000, segment)
        for n in range(others)
        for segment in (up(SYN, 7, port=1000 + n), down(RST | ACK, 0, 8, port=1000 + n))
    ]
    table = FlowTable(1000, 1000, RTO_NS, max_closed=50)

    tables = run(
        timed(*closed_connection(), *refused, (1.0, down(FIN | ACK, 5001, 1002))), rows_per_batch=1, table=table
    )

    assert states(tables) == ("TIME_WAIT", state)
    assert tables.flows["server_fins"][0] == 2


def test_addresses_and_ports_cannot_be_chosen_to_collide() -> None:
    """Addresses and ports of which one cancels the other out are hashed as far apart as any."""
    table = FlowTable(1000, 1000, RTO_NS)
    hashes = {table._index.hash(0, 0x0A00_0000 | port ^ 0x5555, port) for port in range(1, 60_000)}

    assert len(hashes) > 59_000


def test_both_halves_of_an_ipv6_address_are_hashed() -> None:
    """Networks that share the lower shard, as hosts numbered ``::1`` do, are not one chain of the table."""
    table = FlowTable(1000, 1000, RTO_NS)
    hashes = {table._index.hash(0x2001_0DB8_0000_0000 + network, 1, 80) for network in range(60_000)}

    assert len(hashes) > 59_000
