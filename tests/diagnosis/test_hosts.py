"""Hosts by address and by number."""

from __future__ import annotations

import pytest

from pcapflow.diagnosis.hosts import Hosts
from pcapflow.diagnosis.model import MAX_HOSTS
from tests.diagnosis.cases import OPEN, Connection, incidents, only

REFUSED = """
      0  > S   0:0
      1  < R.  0:0    ack 1
"""


@pytest.mark.parametrize(
    ("hosts", "text"),
    [
        (Hosts(["a"], 1), "a"),
        (Hosts(["a", "b"], 2), "a and b"),
        (Hosts(["a", "b", "c"], 3), "a, b and 1 more"),
        (Hosts(["a", "b"], 5000), "a, b and 4,998 more"),
    ],
    ids=str,
)
def test_how_many_more_there_are_counts_those_that_are_not_kept(hosts: Hosts, text: str) -> None:
    assert hosts.listed(2) == text


def test_all_that_are_kept_are_listed_without_a_limit() -> None:
    assert Hosts(["a", "b", "c"], 3).listed() == "a, b and c"
    assert Hosts(["a", "b", "c"], 9).listed() == "a, b, c and 6 more"


def test_what_is_left_out_is_not_counted() -> None:
    assert Hosts(["a", "b", "c"], 7).without(["b", "z"]).total == 6


def test_an_incident_counts_all_its_clients_and_names_a_few() -> None:
    tried = [Connection(REFUSED, n * 50, (f"192.0.2.{n + 1}", 40_000)) for n in range(2 * MAX_HOSTS)]
    found = incidents([*tried, Connection(OPEN, 5000, ("192.0.2.200", 40_000), ("198.51.100.2", 81))])

    refused = only(found, "refused-port")
    assert f"192.0.2.1, 192.0.2.2 and {2 * MAX_HOSTS - 2} more" in refused.headline
