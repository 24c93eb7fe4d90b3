"""What connections said, as observations of an incident."""

from __future__ import annotations

import numpy as np

from pcapflow.config import Config
from pcapflow.diagnosis.case import Case
from pcapflow.diagnosis.spoken import errors, exchanges
from pcapflow.payload.said import Payload, Said
from pcapflow.tcp.states import CLIENT, SERVER
from tests.anomalies.builder import Told


def case(*said: Said) -> Case:
    told = Told()
    for _ in range(6):
        told.flow().opens()
    return Case(told.tables(), [], Config(), Payload({each.flow: each for each in said}))


def killed(flow: int, by: int = SERVER) -> Said:
    return Said(
        flow=flow, protocol="postgres", what="postgres: FATAL 57P02", error="crash of another server process",
        error_code="57P02", error_by=by, error_frame=20 + flow,
    )  # fmt: skip


FLOWS = np.arange(6)


def test_the_most_frequent_words_come_first_and_only_two_of_them() -> None:
    asked = [Said(flow=flow, protocol="http", what=what, request_frame=flow + 1) for flow, what in
             enumerate(("GET /a", "GET /b", "GET /c", "GET /c", "GET /c", "GET /b"))]  # fmt: skip

    found = list(exchanges(case(*asked), FLOWS))
    assert [observation.text for observation in found] == [
        "3 connections said `GET /c` (frames 3 and 4)",
        "2 connections said `GET /b` (frames 2 and 6)",
    ]
    assert found[0].frames == (3, 4)


def test_only_what_the_server_said_is_its_error() -> None:
    (error,) = errors(case(killed(0), killed(1, CLIENT), killed(2)), FLOWS)

    assert error.text == "2 connections said `57P02 crash of another server process` (frames 20 and 22)"


def test_nothing_is_said_where_nobody_asked() -> None:
    assert list(exchanges(case(), FLOWS)) == list(errors(case(), FLOWS)) == []
