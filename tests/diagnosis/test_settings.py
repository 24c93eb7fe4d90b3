"""The settings behind time-outs, by port and length."""

from __future__ import annotations

import pytest

from pcapflow.diagnosis.settings import (
    HTTP,
    MYSQL,
    OTHER,
    POSTGRES,
    REDIS,
    above,
    below,
    default_of,
    device_of,
    is_set_to,
    is_usual,
    settings_of,
)
from pcapflow.payload.dissect import LAYERS

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("port", "settings"),
    [(80, HTTP), (8080, HTTP), (3307, MYSQL), (5433, POSTGRES), (6380, REDIS), (12_345, OTHER)],
)
def test_a_port_tells_the_likely_program(port: int, settings: object) -> None:
    assert settings_of(port) is settings


def test_what_is_heard_tells_more_than_the_port() -> None:
    assert settings_of(8090, "redis") is REDIS
    assert settings_of(6379, "tls") is REDIS


def test_every_protocol_that_is_understood_tells_more_than_the_port_but_tls() -> None:
    layers = {"pgsql": "postgres", "resp": "redis"}
    protocols = [layers.get(layer, layer) for layer in LAYERS if layer != "tls"]

    assert [protocol for protocol in protocols if settings_of(3306, protocol) is MYSQL] == ["mysql"]
    assert {settings_of(3306, protocol) for protocol in ("smtp", "ftp", "imap", "ldap", "dns")} == {OTHER}


def test_a_length_is_usual_where_a_timer_of_round_seconds_would_make_it() -> None:
    assert is_usual(5 * SECOND)
    assert is_usual(60 * SECOND + SECOND // 4)
    assert not is_usual(60 * SECOND + SECOND)
    assert not is_usual(3 * SECOND + SECOND // 2)


def test_a_time_out_that_is_checked_now_and_then_is_told_with_what_it_is_set_to() -> None:
    assert is_set_to(3_300_000_000) == ", probably set to 3 s and looked at now and then"
    assert is_set_to(3 * SECOND) == ""
    assert is_set_to(1_500_000_000) == ""
    assert is_set_to(22 * SECOND) == ""


def test_defaults_are_named_for_the_protocol_that_has_them() -> None:
    assert "nginx" in default_of(HTTP, 75 * SECOND)
    assert default_of(POSTGRES, 75 * SECOND) == ""
    assert "NAT gateway" in device_of(351 * SECOND)
    assert device_of(340 * SECOND) == ""


@pytest.mark.parametrize("seconds", [1, 2, 5, 60, 3600])
def test_what_is_to_be_set_leaves_room_on_both_sides(seconds: int) -> None:
    assert 0 < below(seconds * SECOND) < seconds * SECOND
    assert above(seconds * SECOND) > seconds * SECOND
    assert above(seconds * SECOND) % SECOND == 0
