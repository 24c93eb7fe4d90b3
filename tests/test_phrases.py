"""Figures in words."""

from __future__ import annotations

import pytest

from pcapflow.text.phrases import counted, duration, how_often, listed, roughly, sentence, shortened, size, were


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (27_000, "0.027 ms"),
        (800_000, "0.8 ms"),
        (9_949_999, "9.9 ms"),
        (9_960_000, "10 ms"),
        (999_400_000, "999 ms"),
        (999_600_000, "1 s"),
        (12_340_000_000, "12.3 s"),
        (60_000_000_000, "60 s"),
        (226_301_000_000, "226.3 s"),
        (599_960_000_000, "10 min 0 s"),
        (725_000_000_000, "12 min 5 s"),
        (7_500_000_000_000, "2 h 5 min"),
        (2**63 - 1, "2,562,047 h 47 min"),
    ],
)
def test_lengths_of_time(ns: int, text: str) -> None:
    assert duration(ns) == text


def test_one_and_several() -> None:
    assert (counted(1, "byte"), counted(1448, "byte")) == ("1 byte", "1,448 bytes")
    assert (counted(1, "address", "addresses"), counted(2, "address", "addresses")) == ("1 address", "2 addresses")
    assert (were(1, "byte"), were(2, "byte")) == ("1 byte was", "2 bytes were")
    assert [how_often(n) for n in (0, 1, 2, 3, 1000)] == ["never", "once", "twice", "3 times", "1,000 times"]


def test_lists() -> None:
    assert [listed(list("abc")[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert listed(list("abcde"), 2) == "a, b and 3 more"
    assert listed(list("ab"), 2) == "a and b"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1200, "1.2 kB"), (3_400_000, "3.4 MB"), (10**16, "10000 TB")]
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text


def test_sentences_and_long_names() -> None:
    assert [sentence(text) for text in ("", " a b", "Is it?")] == ["", "A b.", "Is it?"]
    assert [sentence(f"{first} spoke") for first in ("fd98::1", "[fd98::1]:80", "db.internal", "tcp_tw_reuse")] == [
        "fd98::1 spoke.",
        "[fd98::1]:80 spoke.",
        "db.internal spoke.",
        "tcp_tw_reuse spoke.",
    ]
    assert sentence("nginx: it spoke") == "Nginx: it spoke."
    assert shortened("abcdefgh", 5) == "ab…gh"
    assert shortened("abcde", 5) == "abcde"


def test_an_estimate_has_no_more_digits_than_it_deserves() -> None:
    lengths = (3.41, 59.7, 506.5, 9_000, 1_000_000)

    assert [roughly(round(seconds * 1e9)) for seconds in lengths] == [
        "about 3.4 s",
        "about 60 s",
        "about 8 min",
        "about 2 h",
        "about 12 days",
    ]
