"""How connections open: the paths of both ends, told as ladders (RFC 9293, 3.5)."""

from __future__ import annotations

from tests.ladders import Climb


def test_a_normal_handshake(climb: Climb) -> None:
    """The SYN-ACK proves the SYN, the ACK proves the SYN-ACK; that the ACK arrived is assumed until data shows it."""
    story = climb("""
     ms  segment            | client       | server
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+
      9  < S.  0:0    ack 1 | ESTABLISHED+ |
     10  > .   1:1    ack 1 |              | ESTABLISHED?
    """)

    assert story.reasons == ["open"]
    assert story.flow("midstream") == 0
    assert story.flow("roles_assumed") == 0


def test_the_last_ack_is_proven_by_what_the_server_sends_next(climb: Climb) -> None:
    """A socket in SYN_RCVD sends no data: the server's first byte shows that it had got the ACK."""
    climb("""
     ms  segment            | client       | server
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+
      9  < S.  0:0    ack 1 | ESTABLISHED+ |
     10  > .   1:1    ack 1 |              | ESTABLISHED+
     20  < P.  1:61   ack 1 |              |
    """)


def test_the_last_ack_is_proven_by_an_ack_of_data(climb: Climb) -> None:
    """An ACK beyond the SYN acknowledges data, which a socket in SYN_RCVD takes only together with the ACK."""
    climb("""
     ms  segment            | client       | server
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+
      9  < S.  0:0    ack 1 | ESTABLISHED+ |
     10  > .   1:1    ack 1 |              | ESTABLISHED+
     11  > P.  1:61   ack 1 |              |
     20  < .   1:1   ack 61 |              |
    """)


def test_the_syn_is_lost(climb: Climb) -> None:
    """The second SYN, with the same number, belongs to the same attempt; the server is dated by what it answers."""
    story = climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     |              |
   1000  > S   0:0          |              | SYN_RCVD+    | syn-repeated
   1009  < S.  0:0    ack 1 | ESTABLISHED+ |              |
   1010  > .   1:1    ack 1 |              | ESTABLISHED? |
    """)

    assert story.ends == [("ESTABLISHED", "ESTABLISHED")]


def test_the_syn_ack_is_lost(climb: Climb) -> None:
    """Both sides repeat themselves; the client's answer comes after the second SYN-ACK."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      9  < S.  0:0    ack 1 |              |              |
   1000  > S   0:0          |              |              | syn-repeated
   1009  < S.  0:0    ack 1 | ESTABLISHED+ |              | syn-repeated
   1010  > .   1:1    ack 1 |              | ESTABLISHED? |
    """)


def test_the_last_ack_is_lost(climb: Climb) -> None:
    """A SYN-ACK sent again takes back that the ACK before it had arrived: the table shows the second one alone."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      9  < S.  0:0    ack 1 | ESTABLISHED+ |              |
     10  > .   1:1    ack 1 |              |              |
   1010  < S.  0:0    ack 1 |              |              | syn-repeated taken-back
   1011  > .   1:1    ack 1 |              | ESTABLISHED? |
    """)


def test_an_old_syn_ack_takes_back_nothing_that_was_proven(climb: Climb) -> None:
    """The server has sent data since, so it had the ACK."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      9  < S.  0:0    ack 1 | ESTABLISHED+ |              |
     10  > .   1:1    ack 1 |              | ESTABLISHED+ |
     11  < P.  1:61   ack 1 |              |              |
    100  < S.  0:0    ack 1 |              |              | syn-repeated
    """)


def test_a_syn_ack_that_crosses_the_request(climb: Climb) -> None:
    """The server repeats it when the request is on its way, and then answers that: it had the ACK in some form."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      9  < S.  0:0    ack 1 | ESTABLISHED+ |              |
     10  > .   1:1    ack 1 |              |              |
   1000  > P.  1:61   ack 1 |              | ESTABLISHED+ |
   1001  < S.  0:0    ack 1 |              |              | syn-repeated taken-back
   1005  < .   1:1   ack 61 |              |              |
    """)


def test_a_syn_ack_that_crosses_the_ack_alone(climb: Climb) -> None:
    """Data says as much, although the client has sent nothing that could be acknowledged."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      9  < S.  0:0    ack 1 | ESTABLISHED+ |              |
   1000  > .   1:1    ack 1 |              | ESTABLISHED+ |
   1001  < S.  0:0    ack 1 |              |              | syn-repeated taken-back
   1005  < P.  1:61   ack 1 |              |              |
    """)


def test_a_syn_ack_that_crosses_the_ack_and_nothing_more(climb: Climb) -> None:
    """A bare ACK of the SYN alone may come from SYN_RCVD too (RFC 9293, 3.10.7.4)."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      9  < S.  0:0    ack 1 | ESTABLISHED+ |              |
   1000  > .   1:1    ack 1 |              |              |
   1001  < S.  0:0    ack 1 |              |              | syn-repeated taken-back
   1005  < .   1:1    ack 1 |              |              |
    """)


def test_early_data_of_a_server_that_has_no_ack_yet(climb: Climb) -> None:
    """RFC 7413, 3: it answers the request on the SYN before the handshake is over."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:10         | SYN_SENT     | SYN_RCVD+    |
      9  < S.  0:0   ack 11 | ESTABLISHED+ |              |
     10  < P.  1:61  ack 11 |              |              |
     19  > .   11:11 ack 61 |              | ESTABLISHED? |
    """)


def test_the_last_ack_is_lost_and_data_does_its_work(climb: Climb) -> None:
    """Every segment carries the ACK: the request completes the handshake, if the server answers it."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      9  < S.  0:0    ack 1 | ESTABLISHED+ |              |
     10  > .   1:1    ack 1 |              |              |
    300  < S.  0:0    ack 1 |              |              | syn-repeated taken-back
    301  > P.  1:61   ack 1 |              | ESTABLISHED+ |
    310  < .   1:1   ack 61 |              |              |
    """)


def test_nobody_answers(climb: Climb) -> None:
    """Nothing is said about a server that was never heard."""
    story = climb("""
     ms  segment   | client   | server | marks
      0  > S   0:0 | SYN_SENT |        |
   1000  > S   0:0 |          |        | syn-repeated
   3000  > S   0:0 |          |        | syn-repeated
    """)

    assert story.ends == [("SYN_SENT", "UNKNOWN")]
    assert story.reasons == ["unanswered"]
    assert story.marked("syn-repeated") == [(2, "client", 2), (3, "client", 3)]


def test_the_syn_ack_never_arrives(climb: Climb) -> None:
    """The client goes on repeating its SYN, so no SYN-ACK reached it; the server is half-open."""
    story = climb("""
     ms  segment            | client   | server
      0  > S   0:0          | SYN_SENT | SYN_RCVD+
      9  < S.  0:0    ack 1 |          |
   1000  > S   0:0          |          |
   1009  < S.  0:0    ack 1 |          |
   3000  > S   0:0          |          |
   3009  < S.  0:0    ack 1 |          |
   9000  end
    """)

    assert story.ends == [("SYN_SENT", "SYN_RCVD")]
    assert story.reasons == ["half-open"]


def test_a_refused_connection(climb: Climb) -> None:
    """A RST whose ACK covers the SYN refuses it. There never was a socket, so the server has no transition."""
    story = climb("""
     ms  segment            | client   | server | marks
      0  > S   0:0          | SYN_SENT |        |
      1  < R.  0:0    ack 1 | CLOSED?  |        | reset
    """)

    assert story.ends == [("CLOSED", "CLOSED")]
    assert story.reasons == ["refused"]
    assert story.flow("closed_by") == 2


def test_a_refusal_of_something_else_is_ignored(climb: Climb) -> None:
    """In SYN_SENT only a RST that acknowledges the SYN counts (RFC 9293, 3.10.7.3); the connection opens regardless."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < R.  0:0   ack 99 |              |              | reset-ignored
      9  < S.  0:0    ack 1 | ESTABLISHED+ |              |
     10  > .   1:1    ack 1 |              | ESTABLISHED? |
    """)


def test_a_refusal_without_ack_is_ignored(climb: Climb) -> None:
    """A RST without ACK cannot speak of the SYN at all."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < R   0:0          |              |              | reset-ignored
      9  < S.  0:0    ack 1 | ESTABLISHED+ |              |
     10  > .   1:1    ack 1 |              | ESTABLISHED? |
    """)


def test_an_ack_that_does_not_cover_the_syn_ack(climb: Climb) -> None:
    """It opens nothing (RFC 9293, 3.10.7.4), and is no answer of a client that had the SYN-ACK."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 |              |              |
      2  > .   1:1    ack 0 |              |              |
    900  > S   0:0          |              |              | syn-repeated
   5000  end
    """)


def test_the_syns_cross(climb: Climb) -> None:
    """Both dial each other (RFC 9293, 3.5, figure 7): both pass SYN_RCVD, and each SYN-ACK is the other's ACK.

    A SYN-ACK after a SYN is no repeat of it.
    """
    story = climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S   0:0          | SYN_RCVD+    | SYN_SENT     |
      9  > S.  0:0    ack 1 |              | ESTABLISHED? |
     10  < S.  0:0    ack 1 | ESTABLISHED? |              |
     20  > .   1:1    ack 1 |              |              |
     21  < .   1:1    ack 1 |              |              |
    """)

    assert story.ends == [("ESTABLISHED", "ESTABLISHED")]


def test_the_syns_cross_and_a_syn_ack_is_lost(climb: Climb) -> None:
    """The server repeats its SYN-ACK: what it had been sent by then did not arrive."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S   0:0          | SYN_RCVD+    | SYN_SENT     |
      9  > S.  0:0    ack 1 |              |              |
     10  < S.  0:0    ack 1 | ESTABLISHED? |              |
   1010  < S.  0:0    ack 1 |              |              | syn-repeated taken-back
   1020  > .   1:1    ack 1 |              | ESTABLISHED? |
    """)


def test_the_syns_cross_and_the_clients_syn_ack_does_not_pass(climb: Climb) -> None:
    """Of the server's two SYN-ACKs the first one counts: there is no reason to think that it was lost."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S   0:0          | SYN_RCVD?    | SYN_SENT     |
      9  < S.  0:0    ack 1 | ESTABLISHED? |              |
   1009  < S.  0:0    ack 1 |              |              | syn-repeated
   1010  > .   1:1    ack 1 |              | ESTABLISHED? |
    """)


def test_the_syns_cross_and_neither_arrives(climb: Climb) -> None:
    """Both go on repeating theirs: nobody has heard the other."""
    story = climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     |              |
      1  < S   0:0          |              | SYN_SENT     |
   1000  > S   0:0          |              |              | syn-repeated
   1001  < S   0:0          |              |              | syn-repeated
   5000  end
    """)

    assert story.reasons == ["half-open"]


def test_data_on_the_syn(climb: Climb) -> None:
    """TCP Fast Open (RFC 7413): the request travels on the SYN, and the server answers before the last ACK."""
    story = climb("""
     ms  segment             | client       | server
      0  > S   0:60          | SYN_SENT     | SYN_RCVD+
      9  < S.  0:0    ack 61 | ESTABLISHED+ |
     10  < P.  1:101  ack 61 |              |
     18  > .   61:61 ack 101 |              | ESTABLISHED?
    """)

    assert story.flow("client_bytes") == 60


def test_the_data_of_a_lost_syn_follows_by_itself(climb: Climb) -> None:
    """A SYN-ACK that does not cover the data on the SYN: the data is sent again after the handshake."""
    story = climb("""
     ms  segment             | client       | server
      0  > S   0:60          | SYN_SENT     | SYN_RCVD+
      9  < S.  0:0    ack 1  | ESTABLISHED+ |
     10  > P.  1:61   ack 1  |              | ESTABLISHED+
     18  < .   1:1    ack 61 |              |
    """)

    assert story.flow("client_sent") == 61


def test_the_capture_begins_with_the_syn_ack(climb: Climb) -> None:
    """A SYN-ACK answers a SYN that was not captured: both ends are known, and the roles too."""
    story = climb("""
     ms  segment            | client                 | server
      9  < S.  0:0    ack 1 | SYN_SENT+ ESTABLISHED+ | SYN_RCVD+
     10  > .   1:1    ack 1 |                        | ESTABLISHED?
    """)

    assert story.flow("midstream") == 1
    assert story.flow("roles_assumed") == 0


def test_a_late_answer_to_an_abandoned_syn(climb: Climb) -> None:
    """The client closed its socket in silence; the SYN-ACK that comes later is answered by a RST."""
    story = climb("""
     ms  segment            | client   | server
      0  > S   0:0          | SYN_SENT | SYN_RCVD+
     90  < S.  0:0    ack 1 |          |
     91  > R   1:1          | CLOSED   | CLOSED?
    """)

    assert story.reasons == ["aborted"]


def test_whether_an_end_offers_time_stamps_is_kept(climb: Climb) -> None:
    """Of each end, and only the first segment counts: what comes later without them is not what it offered."""
    story = climb("""
     ms  segment                  | client       | server
      0  > S   0:0    ts 5 ecr 0  | SYN_SENT     | SYN_RCVD+
      9  < S.  0:0    ack 1       | ESTABLISHED+ |
     10  > .   1:1    ack 1       |              | ESTABLISHED?
    """)

    assert (story.flow("client_timestamps"), story.flow("server_timestamps")) == (1, 0)


def test_a_server_gives_up_a_half_open_connection(climb: Climb) -> None:
    """Nothing answers its SYN-ACK: it aborts what never became a connection."""
    story = climb("""
     ms  segment            | client   | server    | marks
      0  > S   0:0          | SYN_SENT | SYN_RCVD+ |
      1  < S.  0:0    ack 1 |          |           |
   1001  < S.  0:0    ack 1 |          |           | syn-repeated
   3001  < R.  1:1    ack 1 | CLOSED?  | CLOSED    | reset
    """)

    assert story.reasons == ["aborted"]


def test_the_handshake_measures_a_round_trip_each_way(climb: Climb) -> None:
    """From the tap to the server and back, and from the tap to the client and back."""
    story = climb("""
     ms  segment            | client       | server
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+
      9  < S.  0:0    ack 1 | ESTABLISHED+ |
     10  > .   1:1    ack 1 |              | ESTABLISHED?
    """)

    assert (story.flow("client_rtt_ns"), story.flow("server_rtt_ns")) == (9_000_000, 1_000_000)


def test_the_shortest_round_trip_is_kept(climb: Climb) -> None:
    story = climb("""
     ms  segment            | client       | server
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+
      9  < S.  0:0    ack 1 | ESTABLISHED+ |
     10  > .   1:1    ack 1 |              | ESTABLISHED+
     20  > P.  1:6    ack 1 |              |
     23  < .   1:1    ack 6 |              |
     30  > P.  6:11   ack 1 |              |
     38  < .   1:1   ack 11 |              |
    """)

    assert story.flow("client_rtt_ns") == 3_000_000


def test_a_repeat_of_what_came_later_leaves_the_round_trip_to_be_measured(climb: Climb) -> None:
    """The ACK answers what was sent once, and the repeat was of other data."""
    story = climb("""
     ms  segment            | client       | server
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+
      9  < S.  0:0    ack 1 | ESTABLISHED+ |
     10  > .   1:1    ack 1 |              | ESTABLISHED+
     20  > P.  1:6    ack 1 |              |
     21  > P.  6:11   ack 1 |              |
     22  > P.  6:11   ack 1 |              |
     23  < .   1:1    ack 6 |              |
    """)

    assert story.flow("client_rtt_ns") == 3_000_000


def test_every_frame_is_there_twice(climb: Climb) -> None:
    """Copies made by the capture (same IP identification, at once) are no retransmissions and prove nothing."""
    climb("""
     ms  segment                 | client       | server       | marks
      0  > S   0:0          id 7 | SYN_SENT     |              |
      0  > S   0:0          id 7 |              | SYN_RCVD+    | duplicate-packet
      9  < S.  0:0    ack 1 id 9 |              |              |
      9  < S.  0:0    ack 1 id 9 | ESTABLISHED+ |              | duplicate-packet
     10  > .   1:1    ack 1 id 8 |              | ESTABLISHED? |
     10  > .   1:1    ack 1 id 8 |              |              | duplicate-packet
    """)


def test_a_reset_that_acknowledges_the_syn_ack_proves_it(climb: Climb) -> None:
    """A program that aborts at once: its end was ESTABLISHED."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 | ESTABLISHED+ |              |
      2  > R.  1:1    ack 1 | CLOSED       | CLOSED?      | reset
    """)


def test_a_reset_that_acknowledges_nothing_proves_nothing(climb: Climb) -> None:
    """A scanner, whose kernel knows nothing of the SYN that it sent itself."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 |              |              |
      2  > R   1:1          | CLOSED       | CLOSED?      | reset
    """)


def test_a_stray_reset_before_the_syn_ack_says_nothing_of_its_number(climb: Climb) -> None:
    """It acknowledges what was never sent, so it is none of the server's; the SYN-ACK says where this one begins."""
    climb("""
     ms  segment              | client       | server       | marks
      0  > S   0:0            | SYN_SENT     | SYN_RCVD+    |
      1  < R. 500:500  ack 77 |              |              | reset-ignored
      2  < S.  0:0     ack 1  | ESTABLISHED+ |              |
      3  > .   1:1     ack 1  |              | ESTABLISHED? |
    """)


def test_a_syn_whose_time_out_may_not_have_come_yet(climb: Climb) -> None:
    """That the client does not repeat its SYN says nothing so soon, and the SYN-ACK was repeated: it had no answer."""
    climb("""
     ms  segment              | client       | server       | marks
      0  > S   0:0            | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0      ack 1 |              |              |
   1001  < S.  0:0      ack 1 |              |              | syn-repeated
   1040  end
    """)


def test_a_syn_ack_that_acknowledges_data_and_is_repeated(climb: Climb) -> None:
    """It acknowledges more than the SYN, but a server beyond SYN_RCVD would not send it again (RFC 7413)."""
    climb("""
     ms  segment              | client       | server       | marks
      0  > S   0:10           | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0     ack 11 | ESTABLISHED+ |              |
      2  > .   11:11   ack 1  |              |              |
   1001  < S.  0:0     ack 11 |              |              | syn-repeated taken-back
   1002  > .   11:11   ack 1  |              | ESTABLISHED+ |
   1010  < P.  1:6     ack 11 |              |              |
    """)


def test_a_copy_of_a_syn_that_carries_data(follow: Climb) -> None:
    """Neither IP identification nor time stamp tells, but nothing is sent again within a tenth of a millisecond."""
    story = follow("""
      0  > S   0:10
    0.1  > S   0:10
      1  < S.  0:0     ack 11
    """)

    assert story.marked("duplicate-packet") == [(2, "client", 0)]
    assert story.marked("syn-repeated") == []


def test_a_copy_of_a_syn_that_comes_after_what_followed_it(climb: Climb) -> None:
    """The IP identification tells that it was sent but once."""
    climb("""
     ms  segment               | client       | server       | marks
      0  > S   0:0        id 7 | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0  ack 1      | ESTABLISHED+ |              |
      2  > .   1:1  ack 1 id 8 |              | ESTABLISHED? |
    2.5  > S   0:0        id 7 |              |              |
    """)


def test_a_refusal_has_no_gap_and_tells_of_no_segment_size(follow: Climb) -> None:
    story = follow("""
      0  > S   0:0
      1  < R.  0:0     ack 1
    """)

    assert (story.flow("reset_gap"), story.flow("client_mss")) == (0, -1)


def test_a_stray_segment_before_the_syn_ack(climb: Climb) -> None:
    """It does not go on from the SYN, so the client had no SYN-ACK: it is of an older connection."""
    climb("""
     ms  segment              | client       | server
      0  > S   0:0            | SYN_SENT     |
    0.5  > .   500:500  ack 9 |              |
   5000  end
    """)


def test_syns_that_cross_and_one_that_is_lost_at_first(follow: Climb) -> None:
    """The client, which answers the server's second SYN, is dated by that."""
    story = follow("""
      0  > S   0:0
      1  < S   0:0
   1000  < S   0:0
   1001  > S.  0:0    ack 1
   1002  < .   1:1    ack 1
    """)

    assert story.moment("client", "SYN_RCVD") == 1000


def test_a_syn_that_is_repeated_had_met_no_other(climb: Climb) -> None:
    """The server's SYN and SYN-ACK had passed a second before: they were lost."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S   0:0          |              | SYN_SENT     |
      2  < S.  0:0    ack 1 |              |              |
   1000  > S   0:0          |              |              | syn-repeated
   1001  < S.  0:0    ack 1 | ESTABLISHED+ |              | syn-repeated
   1002  > .   1:1    ack 1 |              | ESTABLISHED? |
    """)


def test_a_syn_that_is_repeated_as_the_answer_comes(climb: Climb) -> None:
    """Within a fifth of a second the two may have crossed."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
    950  < S.  0:0    ack 1 | ESTABLISHED+ |              |
   1000  > S   0:0          |              |              | syn-repeated
   1050  > .   1:1    ack 1 |              | ESTABLISHED? |
    """)


def test_an_ack_before_the_syn_ack_says_nothing_of_the_servers_numbers(climb: Climb) -> None:
    """It is of a connection before this one."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
    0.5  > .   500:500 ack 9 |             |              |
      1  < S.  0:0    ack 1 | ESTABLISHED+ |              |
      2  > .   1:1    ack 1 |              | ESTABLISHED+ |
      3  > P.  1:6    ack 1 |              |              |
      4  < .   1:1    ack 6 |              |              |
    """)


def test_a_syn_that_is_repeated_and_an_answer_that_does_not_pass(climb: Climb) -> None:
    """The SYN-ACK at 1 was lost, and the one that the client goes on from was not captured."""
    climb("""
     ms  segment            | client       | server       | marks
      0  > S   0:0          | SYN_SENT     | SYN_RCVD+    |
      1  < S.  0:0    ack 1 |              |              |
   1000  > S   0:0          |              |              | syn-repeated
   1002  > .   1:1    ack 1 | ESTABLISHED+ | ESTABLISHED? |
    """)


def test_early_data_after_an_ack_of_another_connection(climb: Climb) -> None:
    """The stray ACK acknowledges nothing of this server's: its data is sent in SYN_RCVD (RFC 7413, 3)."""
    climb("""
     ms  segment               | client       | server       | marks
      0  > S   0:10            | SYN_SENT     | SYN_RCVD+    |
    0.5  > .   500:500  ack 9  |              |              |
      1  < S.  0:0      ack 11 | ESTABLISHED? |              |
      2  < P.  1:61     ack 11 |              |              |
   5000  end
    """)
