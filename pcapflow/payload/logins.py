"""What FTP, IMAP and LDAP said: above all whom they did not let in. Names, passwords and contents are left out.

Source: RFC 959, 4.2 (FTP replies); RFC 9051, 7.1 and RFC 5530 (IMAP); RFC 4511, 4.1.9 and appendix A (LDAP).
"""

from __future__ import annotations

import re
from typing import Final

from pcapflow.payload.replies import MOST_OF_A_COMMAND, answered_by_code, exchanged
from pcapflow.payload.said import Said
from pcapflow.payload.talk import Talk, tidy
from pcapflow.tcp.states import CLIENT

_IMAP_CODE: Final = re.compile(r"\[([A-Z-]{2,40})[^\]]*\] ?(.*)", re.DOTALL)
_IMAP_FAULTS: Final = ("NO", "BAD", "BYE")
_BIND_RESPONSE: Final = "1"
_LDAP_RESULTS: Final = {
    "7": "authMethodNotSupported",
    "8": "strongerAuthRequired",
    "48": "inappropriateAuthentication",
    "49": "invalidCredentials",
    "50": "insufficientAccessRights",
    "51": "busy",
    "52": "unavailable",
    "53": "unwillingToPerform",
}


def ftp(talk: Talk) -> Said | None:
    """The first reply that refuses, or the greeting; the command that it answers, without what it says."""
    return answered_by_code(talk, "ftp", "request.command", "response.code", "response.arg")


def imap(talk: Talk) -> Said | None:
    """The first answer that refuses (``NO``, ``BAD``), with its code, or the last command, without what it says."""
    command: tuple[str, int] = ("", 0)
    answer: tuple[str, int] = ("", 0)
    fault: tuple[str, str, int] | None = None
    is_known = False
    for heard in talk.of("imap"):
        is_known = True
        if heard.endpoint == CLIENT:
            if (name := heard.layer.first("request_command")) and fault is None:
                command = tidy(name.upper(), MOST_OF_A_COMMAND), heard.frame
            continue
        status = heard.layer.first("response_status").upper()
        answer = (tidy(status, MOST_OF_A_COMMAND), heard.frame) if status else answer
        if fault is None and status in _IMAP_FAULTS:
            text = heard.layer.first("response").partition(f" {status} ")[2]
            parts = _IMAP_CODE.match(text)
            code, words = (parts.group(1), parts.group(2)) if parts else (status, text)
            fault = tidy(code), tidy(words) or status, heard.frame
    if not is_known:
        return None
    words = f"imap {command[0]}: {answer[0]} {fault[0]} {fault[1]}" if fault else f"imap {command[0]}".strip()
    return exchanged(talk, "imap", words, command, answer, fault)


def ldap(talk: Talk) -> Said | None:
    """What came of the log-in; who logged in is left out."""
    asked = answered = 0
    fault: tuple[str, str, int] | None = None
    is_known = False
    for heard in talk.of("ldap"):
        is_known = True
        code = heard.layer.first("resultCode")
        if heard.endpoint == CLIENT:
            asked = asked or heard.frame
        elif code and not answered:
            answered = heard.frame
            if code in _LDAP_RESULTS and heard.layer.first("protocolOp") == _BIND_RESPONSE:
                fault = tidy(code), _LDAP_RESULTS[code], heard.frame
    if not is_known:
        return None
    words = f"ldap bind: {fault[1]} ({fault[0]})" if fault else "ldap"
    return exchanged(talk, "ldap", words, ("", asked), ("", answered), fault)
