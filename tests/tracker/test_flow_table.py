"""The flow table: which segment belongs to which connection, however many there are."""

from __future__ import annotations

import dataclasses
import random

import pytest

from fixtures.frames import ACK, FIN, SYN, Segment
from fixtures.ladder import START_NS
from pcapflow.reader.segment_batch import ALL_SHARDS, ICMP_QUOTE, SHARDS, shard_of
from pcapflow.tables.table import Tables
from pcapflow.tcp.marks import MARK_NAMES
from pcapflow.tcp.states import CLIENT, STATE_NAMES
from pcapflow.tracker import FlowTable
from tests.ladders import RTO_NS, Row, check_chains, run

SERVER = "198.51.100.2"


def rows(*segments: Segment) -> list[Row]:
    """These segments, a millisecond apart."""
    return [Row(START_NS + number * 1_000_000, segment) for number, segment in enumerate(segments)]


def up(client: str, port: int, flags: int, seq: int, ack: int = 0) -> Segment:
    """A segment of the client's, to port 80."""
    return Segment(client, SERVER, port, 80, seq, ack, flags, 64_240)


def down(segment: Segment, flags: int, seq: int) -> Segment:
    """The server's answer to a segment."""
    return Segment(
        segment.dst, segment.src, segment.dport, segment.sport, seq, (segment.seq + 1) % 2**32, flags, 65_160
    )


def handshake(client: str, port: int) -> list[Segment]:
    """SYN, SYN-ACK, ACK."""
    syn = up(client, port, SYN, 1000)
    return [syn, down(syn, SYN | ACK, 5000), up(client, port, ACK, 1001, 5001)]


def packets(tables: Tables) -> list[int]:
    """Segments of every flow, both ways."""
    return [int(count) for count in tables.flows["client_packets"] + tables.flows["server_packets"]]


@pytest.mark.parametrize("family", [4, 6])
def test_both_directions_are_one_flow(family: int) -> None:
    """Whoever speaks: source and destination may change places, and nothing else may."""
    client = "192.0.2.1" if family == 4 else "2001:db8::1"
    segments = handshake("192.0.2.1", 40_000)
    if family == 6:
        moved = {"192.0.2.1": client, SERVER: "2001:db8::2"}
        segments = [dataclasses.replace(one, src=moved[one.src], dst=moved[one.dst]) for one in segments]

    tables = run(rows(*segments))

    assert packets(tables) == [3]
    assert tables.flows["family"][0] == family
    assert tables.ip(0, CLIENT) == client


def test_ports_swapped_are_another_flow() -> None:
    """10.0.0.1:1 to 10.0.0.2:2 is not 10.0.0.1:2 to 10.0.0.2:1, although both hash alike if hashed carelessly."""
    one = Segment("192.0.2.1", SERVER, 1111, 2222, 1, 0, SYN)
    two = Segment("192.0.2.1", SERVER, 2222, 1111, 1, 0, SYN)

    assert packets(run(rows(one, two, one, two))) == [2, 2]


def test_a_host_may_talk_to_itself() -> None:
    """Both ends have the same address; only the ports tell them apart."""
    syn = Segment("127.0.0.1", "127.0.0.1", 40_000, 80, 1000, 0, SYN)
    tables = run(rows(syn, down(syn, SYN | ACK, 5000), dataclasses.replace(syn, seq=1001, ack=5001, flags=ACK)))

    assert (list(tables.flows["client_packets"]), list(tables.flows["server_packets"])) == ([2], [1])


def test_the_same_tuple_in_a_tunnel_is_another_flow() -> None:
    """Two tunnels may carry the same private addresses."""
    plain = rows(*handshake("192.0.2.1", 40_000))
    tunnelled = [dataclasses.replace(row, tunnel=1) for row in plain]

    tables = run([row for pair in zip(plain, tunnelled, strict=True) for row in pair])

    assert packets(tables) == [3, 3]
    assert list(tables.flows["tunnel"]) == [0, 1]


def test_an_ipv4_address_is_not_the_ipv6_address_of_the_same_number() -> None:
    """``::c000:201`` and 192.0.2.1 are the same integer."""
    four = Segment("192.0.2.1", SERVER, 40_000, 80, 1, 0, SYN)
    six = Segment("::c000:201", "::c633:6402", 40_000, 80, 1, 0, SYN)

    assert packets(run(rows(four, six))) == [1, 1]


def test_many_flows_are_kept_apart() -> None:
    """Enough to make the table grow, their segments shuffled; every one has its three and its own states."""
    clients = [(f"10.{n >> 8 & 255}.{n & 255}.1", 1024 + n % 7) for n in range(6000)]
    segments = [segment for client, port in clients for segment in handshake(client, port)]
    order = sorted(range(len(segments)), key=lambda at: (at % 3, random.Random(at).random()))

    tables = run(rows(*(segments[at] for at in order)))

    assert packets(tables) == [3] * len(clients)
    assert list(tables.flows["stream"]) == list(range(len(clients)))
    check_chains(tables)


def test_one_chain_of_the_table_holds_many_flows() -> None:
    """Sequential addresses and ports, as scans have them: every probe finds its own flow again."""
    segments = [up("192.0.2.1", port, SYN, port) for port in range(1, 4000)]

    tables = run(rows(*segments, *segments))

    assert packets(tables) == [2] * len(segments)


def test_tuples_of_the_same_hash_are_kept_apart() -> None:
    """Whatever differs, half an address or a port, and where all are in one chain."""
    table = FlowTable(1000, 1000, RTO_NS)
    table._k1 = table._k2 = table._k3 = 0
    hosts = [f"2001:{high}::{low}" for high in ("db8", "db9") for low in (1, 2)]
    conversations = [
        [dataclasses.replace(one, src=moved[one.src], dst=moved[one.dst]) for one in handshake("192.0.2.1", port)]
        for port in (40_000, 40_001)
        for client in hosts
        for server in hosts
        for moved in [{"192.0.2.1": client, SERVER: server}]
    ]

    tables = run(rows(*(segment for step in zip(*conversations, strict=True) for segment in step)), table=table)

    assert packets(tables) == [3] * len(conversations)


def test_the_hash_is_not_the_same_in_two_runs() -> None:
    """Its multipliers are random, so that no capture can be made to fill one chain; the tables are the same anyway."""
    segments = [segment for n in range(50) for segment in handshake("192.0.2.1", 40_000 + n)]

    first, second = (run(rows(*segments), table=FlowTable(1000, 1000, RTO_NS)) for _ in range(2))

    for name in first.flows.schema:
        assert list(first.flows[name]) == list(second.flows[name])


def test_of_established_connections_the_one_opened_first_is_let_go() -> None:
    segments = [segment for n in range(6) for segment in handshake("192.0.2.1", 40_000 + n)]

    tables = run(rows(*segments, up("192.0.2.1", 40_000, ACK, 1001, 1)), max_open_flows=4)

    assert tables.capture.evicted == 3
    assert packets(tables) == [3] * 6 + [1]
    assert list(tables.flows["client_port"]) == [*range(40_000, 40_006), 40_000]


@pytest.mark.parametrize(("seconds", "server"), [(0, "CLOSE_WAIT"), (5, "ESTABLISHED")])
def test_a_flow_that_is_let_go_is_settled_at_that_time(seconds: int, server: str) -> None:
    """A FIN that passed just now is assumed to have arrived, but not one that drew nothing for five seconds."""
    fin = up("192.0.2.1", 40_000, FIN | ACK, 1001, 5001)
    *made, last = rows(*handshake("192.0.2.1", 40_000), fin, up("192.0.2.1", 40_001, SYN, 1000))

    tables = run([*made, dataclasses.replace(last, time_ns=last.time_ns + seconds * 10**9)], max_open_flows=1)

    assert STATE_NAMES[tables.flows["server_state"][0]] == server


def test_flows_beyond_the_limit_are_let_go_and_counted() -> None:
    """Memory is bounded: the flow opened first is written out, and its next segment begins a new one."""
    syns = [up("192.0.2.1", 40_000 + n, SYN, 1000) for n in range(10)]

    tables = run(rows(*syns, up("192.0.2.1", 40_000, ACK, 1001, 1)), max_open_flows=4)

    assert tables.capture.evicted == 7
    assert packets(tables) == [1] * 11
    assert list(tables.flows["flow"]) == list(range(11))
    assert tables.flows["client_port"][10] == 40_000
    assert tables.flows["midstream"][10] == 1


@pytest.mark.parametrize(
    ("seq", "ack", "last_frames"),
    [(5000, 1001, [5, 4]), (7000, 9001, [3, 5]), (5000, 9001, [3, 5]), (7000, 77, [3, 5])],
    ids=["of the older", "of the newer", "of the newer with the older number", "of neither"],
)
@pytest.mark.parametrize("port", [40_000, 80], ids=["two ports", "one port on both sides"])
def test_a_syn_ack_belongs_to_the_syn_that_it_answers(port: int, seq: int, ack: int, last_frames: list[int]) -> None:
    """The older connection's, sent once more because its ACK was lost, or the newer one's."""
    segments = [*handshake("192.0.2.1", port), up("192.0.2.1", port, SYN, 9000)]
    again = dataclasses.replace(down(segments[0], SYN | ACK, seq), ack=ack)

    tables = run(rows(*segments, again))

    assert list(tables.flows["first_frame"]) == [1, 4]
    assert list(tables.flows["last_frame"]) == last_frames


def test_marks_beyond_the_limit_of_a_flow_are_left_out() -> None:
    """A connection of nothing but repeats fills no memory."""
    syn = up("192.0.2.1", 40_000, SYN, 1000)
    other = up("192.0.2.1", 40_001, SYN, 1000)

    tables = run(rows(*[syn] * 100, other, other), marks_per_flow=5)

    assert [int((tables.marks["flow"] == flow).sum()) for flow in (0, 1)] == [5, 2]


def test_a_quote_in_an_icmp_error_takes_a_stream() -> None:
    """Wireshark opens one stream for a segment that is only quoted; the flow that follows comes into it."""
    quoted = up("192.0.2.1", 40_000, SYN, 1000)
    quote = dataclasses.replace(quoted, window=3 << 8 | 13, payload=b"\0" * 20)
    other = up("192.0.2.1", 40_001, SYN, 1000)
    *quotes, first, second = rows(quote, quote, other, quoted)

    tables = run([*(dataclasses.replace(row, flags=ICMP_QUOTE) for row in quotes), first, second])

    assert list(tables.flows["client_port"]) == [40_001, 40_000]
    assert list(tables.flows["stream"]) == [1, 0]


def test_of_two_quotes_the_first_takes_the_stream() -> None:
    quoted = up("192.0.2.1", 40_000, SYN, 1000)
    quote = dataclasses.replace(quoted, window=3 << 8 | 13, payload=b"\0" * 20)
    first, other, second, last = rows(quote, up("192.0.2.1", 40_001, SYN, 1000), quote, quoted)

    tables = run(
        [dataclasses.replace(first, flags=ICMP_QUOTE), other, dataclasses.replace(second, flags=ICMP_QUOTE), last]
    )

    assert list(tables.flows["client_port"]) == [40_001, 40_000]
    assert list(tables.flows["stream"]) == [1, 0]


def test_a_quote_of_a_known_flow_is_a_mark() -> None:
    """It is no segment of the flow, and changes no state."""
    syn = up("192.0.2.1", 40_000, SYN, 1000)
    quote = dataclasses.replace(syn, window=3 << 8 | 13, payload=b"\0" * 20)
    first, second = rows(syn, quote)

    tables = run([first, dataclasses.replace(second, flags=ICMP_QUOTE)])

    assert packets(tables) == [1]
    assert [MARK_NAMES[code] for code in tables.marks["mark"]] == ["icmp-unreachable"]
    assert list(tables.marks["value"]) == [3 << 8 | 13]


@pytest.mark.parametrize(
    ("sport", "dport", "client_port"),
    [(80, 40_000, 40_000), (40_000, 80, 40_000), (8080, 40_000, 40_000), (2000, 3000, 2000)],
    ids=["from a well-known port", "to a well-known port", "from a registered port", "nothing to tell by"],
)
def test_who_is_the_client_is_guessed_without_a_syn(sport: int, dport: int, client_port: int) -> None:
    """By the ports, and otherwise whoever spoke first; the guess is marked as one."""
    tables = run(rows(Segment("192.0.2.1", SERVER, sport, dport, 1, 1, ACK)))

    assert int(tables.flows["client_port"][0]) == client_port
    assert tables.flows["roles_assumed"][0] == 1


@pytest.mark.parametrize("quoted", [40_000, 40_001, 40_003])
def test_streams_are_counted_over_both_shards(quoted: int) -> None:
    """Ports 40000 and 40003 are in one shard, 40001 and 40002 in the other; an ICMP error came first for one."""
    syns = [up("192.0.2.1", 40_000 + n, SYN, 1000) for n in range(4)]
    quote = dataclasses.replace(syns[quoted - 40_000], window=3 << 8 | 13, payload=b"\0" * 20)
    first, *others = rows(quote, *syns)
    segments = [dataclasses.replace(first, flags=ICMP_QUOTE), *others]

    shards = [run(segments, shards=[shard]) for shard in SHARDS]
    tables = run(segments, shards=SHARDS)

    assert [list(shard.flows["client_port"]) for shard in shards] == [[40_001, 40_002], [40_000, 40_003]]
    assert list(tables.flows["client_port"]) == [40_000, 40_001, 40_002, 40_003]
    assert list(tables.flows["stream"]) == list(run(segments).flows["stream"])
    assert tables.flows["stream"][quoted - 40_000] == 0
    assert sorted(tables.flows["stream"]) == [0, 1, 2, 3]


def test_a_quote_of_what_never_comes_keeps_its_stream() -> None:
    """No flow has it; the numbers of those after it are as in Wireshark."""
    quote = dataclasses.replace(up("192.0.2.1", 39_999, SYN, 1000), window=3 << 8 | 13, payload=b"\0" * 20)
    first, *others = rows(up("192.0.2.1", 40_000, SYN, 1000), quote, up("192.0.2.1", 40_001, SYN, 1000))
    segments = [first, dataclasses.replace(others[0], flags=ICMP_QUOTE), others[1]]

    for shards in ((ALL_SHARDS,), SHARDS):
        assert list(run(segments, shards=shards).flows["stream"]) == [0, 2]


@pytest.mark.parametrize("step", [1, 2, 4, 1000], ids="ports {} apart".format)
def test_the_shards_are_halves_however_ports_are_given_out(step: int) -> None:
    """Linux gives even ports to those that connect: a bit of the port would put all of them into one shard."""
    tuples = [(0xC000_0201 ^ 0xC633_6402 ^ (1024 + n * step) ^ 443) for n in range(60)]

    ones = sum(shard_of(mixed) for mixed in tuples)

    assert 20 <= ones <= 40


def test_both_shards_together_are_the_whole() -> None:
    """Whatever comes, every column says the same, and each flow's transitions are the same in the same order."""
    made = random_rows()

    whole, shards = run(made), run(made, shards=SHARDS)

    for name in whole.flows.schema:
        assert list(whole.flows[name]) == list(shards.flows[name]), name
    for name in whole.marks.schema:
        assert list(whole.marks[name]) == list(shards.marks[name]), name
    by_flow = [table.transitions["flow"].argsort(kind="stable") for table in (whole, shards)]
    for name in whole.transitions.schema:
        assert list(whole.transitions[name][by_flow[0]]) == list(shards.transitions[name][by_flow[1]]), name


def test_the_time_of_one_shard_is_that_of_the_whole() -> None:
    """A FIN drew nothing for twenty seconds: that these passed is known from the other shard alone."""
    segments = [
        *handshake("192.0.2.1", 40_000),
        up("192.0.2.1", 40_000, FIN | ACK, 1001, 5001),
        up("192.0.2.1", 40_000, SYN, 9000),
        up("192.0.2.1", 40_001, SYN, 1000),
    ]
    *made, last = rows(*segments)
    made.append(dataclasses.replace(last, time_ns=last.time_ns + 20 * 10**9))

    for shards in ((ALL_SHARDS,), SHARDS):
        tables = run(made, shards=shards)
        assert list(tables.flows["client_port"]) == [40_000, 40_000, 40_001]
        assert STATE_NAMES[tables.flows["server_state"][0]] == "ESTABLISHED"


def test_random_segments_break_nothing() -> None:
    """Any flags with any numbers between a few hosts: no exception, and every path is one of the table's."""
    made = random_rows()

    tables = run(made, marks_per_flow=10**6)

    check_chains(tables)
    assert sum(packets(tables)) == len(made)


def random_rows() -> list[Row]:
    """Any flags with any numbers between a few hosts."""
    chance = random.Random(4)
    made = []
    for number in range(5000):
        a, b = chance.sample(range(3), 2)
        seq, ack = (chance.choice([0, 1, 2, 100, 2**31, 2**32 - 1, chance.randrange(2**32)]) for _ in range(2))
        payload = b"x" * chance.choice([0, 0, 1, 100])
        flags = chance.choice([SYN, SYN | ACK, ACK, ACK, FIN | ACK, 4, 4 | ACK, chance.randrange(256)])
        ends = f"10.0.0.{a}", f"10.0.0.{b}", 80 + a, 80 + b
        segment = Segment(*ends, seq, ack, flags, chance.choice([0, 500]), b"", payload)
        made.append(Row(START_NS + number * chance.choice([-1, 1000, 10**7]), segment))
    return made
