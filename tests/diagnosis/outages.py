"""Connections to a server that is stopped, killed or started, for the tests of the patterns that tell of it."""

from __future__ import annotations

from tests.diagnosis.cases import OPEN, Connection
from tests.ladders import SERVER

REFUSED = """
      0  > S   0:0
      1  < R.  0:0    ack 1
"""
ANSWERED = f"""{OPEN}
      3  > P.  1:11   ack 1
      4  < P.  1:21   ack 11
      5  > .   11:11  ack 21
"""
CLOSED_BY_CLIENT = f"""{ANSWERED}
     10  > F.  11:11  ack 21
     11  < F.  21:21  ack 12
     12  > .   12:12  ack 22
"""


def idle(close_ms: float) -> str:
    """Answered once, and closed by the server while nothing is asked of it."""
    return f"""{ANSWERED}
      {close_ms}      < F.  21:21  ack 11
      {close_ms + 1}  > F.  11:11  ack 22
      {close_ms + 2}  < .   22:22  ack 12
    """


def asked(close_ms: float, since_ms: float = 300) -> str:
    """A second request, made some time before the server closes, has no answer then."""
    return f"""{ANSWERED}
      {close_ms - since_ms}      > P.  11:21  ack 21
      {close_ms - since_ms + 1}  < .   21:21  ack 21
      {close_ms}                 < F.  21:21  ack 21
      {close_ms + 1}             > F.  21:21  ack 22
      {close_ms + 2}             < .   22:22  ack 22
    """


def unaccepted(reset_ms: float) -> str:
    """A request that lay in the queue of a listener that is closed."""
    return f"""{OPEN}
      3           > P.  1:11   ack 1
      4           < .   1:1    ack 11
      {reset_ms}  < R.  1:1    ack 11
    """


def lasting(until_ms: float) -> str:
    """It is asked and answered once at its beginning, and again at the end."""
    return f"""{ANSWERED}
      {until_ms}      > P.  11:21  ack 21
      {until_ms + 1}  < P.  21:41  ack 21
      {until_ms + 2}  > .   21:21  ack 41
    """


def at(ms: float, ladder: str, port: int, server: tuple[str, int] = SERVER) -> Connection:
    """One connection from a port of its own."""
    return Connection(ladder, ms, ("192.0.2.1", port), server)


def refusals(first_ms: float, count: int, apart_ms: float = 200, port: int = 50_000,
             server: tuple[str, int] = SERVER) -> list[Connection]:  # fmt: skip
    """Attempts that find no listener."""
    return [at(first_ms + i * apart_ms, REFUSED, port + i, server) for i in range(count)]
