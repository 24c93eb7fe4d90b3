"""Display filters are in Wireshark's syntax."""

from __future__ import annotations

from pcapflow.views import display_filter


def test_one_value_is_compared_and_several_are_a_set() -> None:
    assert display_filter.of_streams([4]) == "tcp.stream == 4"
    assert display_filter.of_streams([4, 9]) == "tcp.stream in {4,9}"
    assert display_filter.of_frames([12]) == "frame.number == 12"
    assert display_filter.of_frames([12, 13]) == "frame.number in {12,13}"


def test_nothing_has_no_filter() -> None:
    assert display_filter.of_streams([]) == display_filter.of_frames([]) == ""
