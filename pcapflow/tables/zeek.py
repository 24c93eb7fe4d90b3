"""Zeek's words for a connection: ``conn_state`` and ``history``, as its ``conn.log`` documents them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pcapflow.tcp.states import CLIENT, SERVER
from pcapflow.tracker.counts import HISTORY_LETTERS, LETTERS_PER_WORD

if TYPE_CHECKING:
    from pcapflow.tables.table import Table

CONN_STATES: Final = (
    "OTH", "S0", "S1", "SF", "REJ", "S2", "S3", "RSTO", "RSTR", "RSTOS0", "RSTRH", "SH", "SHR",
)  # fmt: skip
"""Zeek's names, from ``conn.log``'s documentation of ``conn_state``."""


def conn_states(flows: Table) -> npt.NDArray[np.uint8]:
    """Zeek's ``conn_state`` of every flow, as codes into :data:`CONN_STATES`.

    Zeek looks at what each side did: sent nothing, a SYN, a SYN-ACK, an acknowledged FIN ("closed"), a RST.
    """
    client_silent = flows["client_packets"] == 0
    server_silent = flows["server_packets"] == 0
    client_closed = (flows["client_fins"] > 0) & (flows["server_acked"] >= flows["client_sent"])
    server_closed = (flows["server_fins"] > 0) & (flows["client_acked"] >= flows["server_sent"])
    client_reset = flows["reset_by"] == CLIENT
    server_reset = flows["reset_by"] == SERVER
    client_syn = flows["client_syns"] > 0
    server_syn = flows["server_syns"] > 0
    established = client_syn & server_syn & (flows["client_acked"] >= 1)
    conditions_and_names = (
        (server_reset & client_syn & ~server_syn, "REJ"),
        (server_reset & ~client_syn & server_syn & client_silent, "RSTRH"),
        (server_reset, "RSTR"),
        (client_reset & server_silent, "RSTOS0"),
        (client_reset, "RSTO"),
        (client_closed & server_closed, "SF"),
        ((flows["client_fins"] > 0) & client_syn & server_silent, "SH"),
        (server_closed & client_silent, "SHR"),
        ((flows["server_fins"] > 0) & server_syn & client_silent, "SHR"),
        (client_closed & established, "S2"),
        (server_closed & established, "S3"),
        (client_syn & server_silent, "S0"),
        (established, "S1"),
    )
    codes = [np.uint8(CONN_STATES.index(name)) for _, name in conditions_and_names]
    chosen = np.select([condition for condition, _ in conditions_and_names], codes, default=np.uint8(0))
    return chosen.astype(np.uint8)


def histories(flows: Table) -> list[str]:
    """Zeek's ``history`` of every flow: a letter for each kind of segment, lower case for the server's.

    Each letter stands where its sender earned it first, and R again for a RST with another number. Zeek repeats T, W
    and G at every power of ten; here they are told once.
    """
    keys = np.stack([flows["history_1"], flows["history_2"]], axis=1)
    distinct, which = np.unique(keys, axis=0, return_inverse=True)
    texts = [_letters(int(first)) + _letters(int(second)) for first, second in distinct]
    return [texts[i] for i in which.ravel()]


def _letters(word: int) -> str:
    found: list[str] = []
    for at in range(LETTERS_PER_WORD):
        code = word >> 5 * at & 0x1F
        if code == 0:
            break
        found.append(HISTORY_LETTERS[code])
    return "".join(found)
