"""Which ports a client has and how long TIME_WAIT lasts: measured, configured, or assumed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pcapflow.anomalies.lookup.habits import client_ports, ports_by, time_wait_ns, time_wait_of
from pcapflow.config import Config
from pcapflow.stacks import STACKS
from pcapflow.tcp.states import CLIENT, SERVER
from tests.anomalies.builder import Told

WINDOWS = dataclasses.replace(Config(), stack="windows", msl2_s=120.0, ephemeral_ports=16_384)


def _taking(*ports: int) -> Told:
    capture = Told()
    for port in ports:
        capture.flow(client=f"10.0.0.1:{port}").opens()
    return capture


@pytest.mark.parametrize("config", [Config(), WINDOWS], ids=["Linux assumed", "Windows configured"])
def test_many_ports_tell_the_range_of_a_host(config: Config) -> None:
    """Twenty-five from 49152 to 65535: of Linux's range 60999 is the last."""
    found = client_ports(_taking(*range(49_200, 65_200, 640)).tables(), config, 0)

    assert (found.number, found.first, found.last) == (16_384, 49_152, 65_535)
    assert found.basis == ("measured" if config == Config() else "configured")


def test_many_ports_below_those_of_the_configured_stack() -> None:
    found = client_ports(_taking(*range(33_000, 60_000, 1000)).tables(), WINDOWS, 0)

    assert found.words() == "28,232 (32768 to 60999, by those it took)"


def test_few_ports_tell_no_range() -> None:
    found = client_ports(_taking(*range(49_200, 65_000, 1000)).tables(), Config(), 0)

    assert found.words() == "28,232 (assumed)"


def test_ports_that_may_lie_there_by_chance_tell_no_range() -> None:
    """All lie in both ranges: with so few, that happens."""
    assert ports_by(Config(), "10.0.0.1", 50_000, 60_000, 10).basis == "assumed"
    assert ports_by(Config(), "10.0.0.1", 50_000, 60_000, 40).basis == "measured"


def test_a_number_that_is_configured_is_not_measured() -> None:
    config = dataclasses.replace(Config(), ephemeral_ports=5000)

    found = client_ports(_taking(*range(49_200, 65_200, 640)).tables(), config, 0)

    assert (found.words(), found.basis) == ("5,000", "configured")


def test_a_stack_that_is_named_is_configured_also_where_it_is_the_one_that_is_assumed() -> None:
    config = dataclasses.replace(Config(), stack_hosts=(("10.0.0.1", "linux"),))

    assert ports_by(config, "10.0.0.1", 40_000, 40_001, 2).basis == "configured"
    assert ports_by(config, "10.0.0.2", 40_000, 40_001, 2).basis == "assumed"
    assert time_wait_of(config, "10.0.0.1") == (60, "configured")
    assert time_wait_of(config, "10.0.0.2") == (60, "assumed")
    assert time_wait_of(dataclasses.replace(Config(), msl2_s=30.0), "10.0.0.2") == (30, "configured")


def test_time_wait_lasts_as_long_as_the_smallest_network_says() -> None:
    capture = Told()
    for client in ("10.0.0.1:1000", "10.0.1.1:1000", "[2001:db8::1]:1000", "10.0.0.3:1000"):
        capture.flow(client=client, server="[2001:db8:1::5]:80" if "[" in client else "10.0.0.5:80").opens()
    tables = capture.tables()
    config = dataclasses.replace(
        Config(),
        stack_hosts=(
            ("10.0.0.1", "macos"),
            ("10.0.0.0/16", "windows"),
            ("10.0.0.3", "macos"),
            ("2001:db8::/64", "windows-xp"),
        ),
    )

    lasts = time_wait_ns(tables, config, CLIENT)

    assert (lasts // 1_000_000_000).tolist() == [30, 120, 240, 30]
    assert (time_wait_ns(tables, config, SERVER) // 1_000_000_000).tolist() == [120, 120, 60, 120]
    assert not np.any(time_wait_ns(tables, Config(), CLIENT) != 60_000_000_000)


def test_the_ranges_of_all_stacks_are_ranges() -> None:
    for stack in STACKS.values():
        assert 0 < stack.first_port < stack.last_port <= 65_535
        assert stack.time_wait_s > 0
        assert stack.source
