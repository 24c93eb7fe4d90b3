"""What SSH, SMTP and DNS over TCP said. Source: RFC 4253, 4.2; RFC 5321, 4.2; RFC 1035, 4.1 and 4.2.2."""

from __future__ import annotations

import re
from typing import Final

from pcapflow.payload.replies import answered_by_code
from pcapflow.payload.said import NOBODY, Said
from pcapflow.payload.talk import MOST_CHARACTERS, Talk, tidy
from pcapflow.tcp.states import CLIENT, SERVER

_REFUSAL: Final = re.compile(rb"(?!SSH-)([ -~]{1,255})\r?\n")
"""A line that an SSH server sends in place of its version (OpenSSH: ``Exceeded MaxStartups``)."""
_RCODES: Final = {"1": "FORMERR", "2": "SERVFAIL", "3": "NXDOMAIN", "4": "NOTIMP", "5": "REFUSED"}


def ssh(talk: Talk) -> Said | None:
    """The program of the server, or of the client where the server did not say; a line in place of a banner refuses."""
    banners = ["", ""]
    frames = [0, 0]
    is_known = False
    refused_frame = 0
    for heard in talk.of("ssh"):
        is_known = True
        banner = heard.layer.first("protocol")
        if heard.endpoint == SERVER and not banner and not refused_frame:
            refused_frame = heard.frame
        if banner.startswith("SSH-") and not banners[heard.endpoint]:
            # SSH-2.0-softwareversion comments
            banners[heard.endpoint] = tidy(banner.partition(" ")[0].split("-", 2)[-1])
            frames[heard.endpoint] = heard.frame
    if not is_known:
        return None
    line = _REFUSAL.match(talk.greeting)
    if line and refused_frame and not banners[SERVER]:
        return _refused_by_ssh(talk.flow, tidy(line[1].decode("utf-8", "backslashreplace")), refused_frame)
    version = banners[SERVER] or banners[CLIENT]
    return Said(
        flow=talk.flow,
        protocol="ssh",
        what=tidy(f"ssh {version}", MOST_CHARACTERS),
        request=banners[CLIENT],
        request_frame=frames[CLIENT],
        answer=banners[SERVER],
        answer_frame=frames[SERVER],
        version=version,
    )


def _refused_by_ssh(flow: int, words: str, frame: int) -> Said:
    return Said(
        flow=flow,
        protocol="ssh",
        what=tidy(f"ssh: {words}", MOST_CHARACTERS),
        error=words,
        error_by=SERVER,
        error_frame=frame,
    )


def smtp(talk: Talk) -> Said | None:
    """The first reply that refuses, or the greeting; the command that it answers, without what it says."""
    return answered_by_code(talk, "smtp", "req.command", "response.code", "rsp.parameter")


def dns(talk: Talk) -> Said | None:
    """The name that was asked for, and what went wrong with it."""
    name: tuple[str, int] = ("", 0)
    answer_frame = 0
    code = ""
    for heard in talk.of("dns"):
        layer = heard.layer
        if heard.endpoint == CLIENT and not name[0]:
            name = tidy(layer.first("qry.name")), heard.frame
        elif heard.endpoint == SERVER and not answer_frame:
            answer_frame = heard.frame
            code = tidy(layer.first("flags.rcode"))
    if not name[1] and not answer_frame:
        return None
    words = "" if code in {"", "0"} else _RCODES.get(code, f"RCODE {code}")
    chosen = f"dns {name[0]}".strip()
    return Said(
        flow=talk.flow,
        protocol="dns",
        what=tidy(f"{chosen}: {words}" if words else chosen, MOST_CHARACTERS),
        request=name[0],
        request_frame=name[1],
        answer=words or ("NOERROR" if code == "0" else ""),
        answer_frame=answer_frame,
        error=words,
        error_code=code if words else "",
        error_by=SERVER if words else NOBODY,
        error_frame=answer_frame if words else 0,
    )
