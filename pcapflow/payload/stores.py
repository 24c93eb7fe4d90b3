"""What databases said: PostgreSQL, MySQL and MariaDB, Redis.

Source: PostgreSQL documentation, "Error and Notice Message Fields" and appendix A; MySQL, "ERR_Packet"; the Redis
serialization protocol (RESP).
"""

from __future__ import annotations

import re
from typing import Final

from pcapflow.payload.said import NOBODY, Said
from pcapflow.payload.talk import MOST_CHARACTERS, Heard, Talk, tidy
from pcapflow.tcp.states import CLIENT, SERVER

_LITERAL: Final = re.compile(r"'[^']*'?")
_FATAL: Final = ("FATAL", "PANIC")
_REMARKS: Final = {"NOTICE", "WARNING", "INFO", "LOG", "DEBUG"}
_ENDS_THE_SESSION: Final = {"57P01", "57P02", "57P03", "57P04", "57P05"}
"""Operator intervention: the server ends the connection, and says so in a warning where another process has crashed."""
_COMMAND: Final = re.compile(r"[A-Za-z.]{1,32}")
_REDIS_CODE: Final = re.compile(r"-?([A-Z]{2,20})\b ?(.*)", re.DOTALL)


def postgres(talk: Talk) -> Said | None:
    """The query, or who connects to which database; the last error, a fatal one before others."""
    query: tuple[str, int] = ("", 0)
    fault: Heard | None = None
    version = ""
    is_known = False
    for heard in talk.of("pgsql"):
        layer = heard.layer
        is_known = True
        if heard.endpoint == CLIENT:
            if text := layer.first("query"):
                query = _statement(text), heard.frame
            elif layer.all("version_major") and not query[0]:
                query = _startup(layer.all("parameter_name"), layer.all("parameter_value")), heard.frame
        elif layer.first("code") and (
            layer.first("severity") not in _REMARKS or layer.first("code") in _ENDS_THE_SESSION
        ):
            if fault is None or layer.first("severity") in _FATAL or fault.layer.first("severity") not in _FATAL:
                fault = heard
        elif "server_version" in layer.all("parameter_name"):
            version = tidy(f"PostgreSQL {layer.first('parameter_value')}")
    if not is_known:
        return None
    if fault is None:
        return Said(
            flow=talk.flow,
            protocol="postgres",
            what=tidy(f"postgres: {query[0]}" if query[0] else "postgres", MOST_CHARACTERS),
            request=query[0],
            request_frame=query[1],
            version=version,
        )
    code, words = tidy(fault.layer.first("code")), tidy(fault.layer.first("message"))
    return Said(
        flow=talk.flow,
        protocol="postgres",
        what=tidy(f"postgres: {tidy(fault.layer.first('severity'))} {code} {words}", MOST_CHARACTERS),
        request=query[0],
        request_frame=query[1],
        error=words,
        error_code=code,
        error_by=SERVER,
        error_frame=fault.frame,
        version=version,
    )


def mysql(talk: Talk) -> Said | None:
    """The query, and the last error."""
    query: tuple[str, int] = ("", 0)
    fault: Heard | None = None
    version = ""
    is_known = False
    for heard in talk.of("mysql"):
        layer = heard.layer
        is_known = True
        if heard.endpoint == CLIENT and (text := layer.first("query")):
            query = _statement(text), heard.frame
        elif heard.endpoint == SERVER and layer.first("error_code"):
            fault = heard
        version = version or tidy(layer.first("version"))
    if not is_known:
        return None
    code = tidy(fault.layer.first("error_code")) if fault else ""
    words = tidy(fault.layer.first("error.message")) if fault else ""
    shown = f"{code} {words}".strip() or query[0]
    return Said(
        flow=talk.flow,
        protocol="mysql",
        what=tidy(f"mysql: {shown}" if shown else "mysql", MOST_CHARACTERS),
        request=query[0],
        request_frame=query[1],
        error=words,
        error_code=code,
        error_by=SERVER if fault else NOBODY,
        error_frame=fault.frame if fault else 0,
        version=version,
    )


_PROBED: Final = re.compile(
    r"-?(?:ERR|NOPROTO) unknown (?:sub)?command\W+"
    r"(?:HELLO|CLIENT|SET-?INFO|SETNAME|MAINT_NOTIFICATIONS|NO-EVICT|NO-TOUCH)\b|"
    r"-?ERR unknown subcommand or wrong number of arguments for\W+(?:SET-?INFO|MAINT_NOTIFICATIONS)\b",
    re.IGNORECASE,
)
"""What an older server says to a client library that asks which commands it knows: the library goes on without."""


def redis(talk: Talk) -> Said | None:
    """The command, without what it says, and the first error; keys, values and passwords are nobody's matter here."""
    command: tuple[str, int] = ("", 0)
    fault: tuple[str, int] = ("", 0)
    is_known = False
    for heard in talk.of("resp"):
        layer = heard.layer
        is_known = True
        if heard.endpoint == CLIENT and (values := layer.all("bulk_string.value")):
            name = _bytes(values[0])
            if _COMMAND.fullmatch(name):
                command = name.upper(), heard.frame
        elif heard.endpoint == SERVER and not fault[1] and (text := layer.first("error")) and not _PROBED.match(text):
            fault = text, heard.frame
    if not is_known:
        return None
    parts = _REDIS_CODE.match(fault[0])
    code, words = (parts.group(1), tidy(parts.group(2))) if parts else ("", tidy(fault[0]))
    shown = tidy(f"-{fault[0].removeprefix('-')}") if fault[0] else command[0]
    return Said(
        flow=talk.flow,
        protocol="redis",
        what=tidy(f"redis: {shown}" if shown else "redis", MOST_CHARACTERS),
        request=command[0],
        request_frame=command[1],
        error=words,
        error_code=code,
        error_by=SERVER if fault[1] else NOBODY,
        error_frame=fault[1],
    )


def _statement(text: str) -> str:
    """A statement without its literals: they hold people's data, and passwords."""
    return tidy(_LITERAL.sub("'…'", text))


def _startup(names: list[str], values: list[str]) -> str:
    given = dict(zip(names, values, strict=False))
    database = given.get("database", given.get("user", ""))
    return tidy(f"connect to {tidy(database, 40)} as {tidy(given.get('user', ''), 40)}") if database else ""


def _bytes(text: str) -> str:
    """Bytes as Wireshark prints them, ``67:65:74``, as text."""
    try:
        return bytes.fromhex(text.replace(":", "")).decode("utf-8", "backslashreplace")
    except ValueError:
        return ""
