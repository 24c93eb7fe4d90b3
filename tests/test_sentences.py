"""All sentences that are said of the fixtures stand in a text that people read, and a changed one is seen there."""

from __future__ import annotations

import pytest

from tests.sentences import difference, kept, shape, text


def test_every_sentence_is_the_one_that_was_read() -> None:
    changes = difference(kept()[0], text())
    assert not changes, changes


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.0.0.1:80 sent 1,448 bytes at 10:02:11", "[fd00::1]:8080 sent 12 bytes at 11-21 10:02:11.250"),
        ("sent again twice (frame 3)", "sent again 5 times (frames 3, 4 and 7)"),
        ("after 0.8 ms", "after 12 min 5 s"),
        ("between 10.0.0.1 and 10.0.0.2", "between fd00::1 and fd00::2"),
    ],
)
def test_figures_times_and_addresses_make_no_other_shape(one: str, other: str) -> None:
    assert shape(one) == shape(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1 byte was lost", "1 bytes were lost"),
        ("set `net.ipv4.tcp_fin_timeout`", "set `net.ipv4.tcp_tw_reuse`"),
        ("see PF102", "see PF103"),
    ],
)
def test_words_and_names_of_settings_make_another(one: str, other: str) -> None:
    assert shape(one) != shape(other)
