"""The settings behind time-outs: what they are called in the programs that usually listen on a port."""

from __future__ import annotations

from typing import Final, NamedTuple

from pcapflow.text.phrases import number
from pcapflow.text.times import NS_PER_S


class Settings(NamedTuple):
    """The names of settings around one protocol, each a phrase that a remedy can hold.

    Attributes:
        server_idle: how long a server lets a connection be idle.
        client_idle: how long a client's pool keeps an idle connection.
        look: how a client looks whether a connection is still there before it uses it.
        retry: how a client asks once more.
        answer: how long a client waits for an answer.
        server_answer: how long a server or proxy lets a request take.
        keep_alive: what sends something over an idle connection.
    """

    server_idle: str
    client_idle: str
    look: str
    retry: str
    answer: str
    server_answer: str
    keep_alive: str


_TCP_KEEP_ALIVE: Final = "SO_KEEPALIVE with TCP_KEEPIDLE (`net.ipv4.tcp_keepalive_time` of Linux, 7200 s unless set)"
HTTP: Final = Settings(
    server_idle="`keepalive_timeout` of nginx, `KeepAliveTimeout` of Apache, `timeout http-keep-alive` and "
    "`timeout client` of haproxy, `--keep-alive` of gunicorn, `--timeout-keep-alive` of uvicorn, "
    "`keepAliveTimeout` of Node.js, the idle time-out of an AWS ALB",
    client_idle="the idle time-out of its HTTP pool (`keepalive_timeout` of an nginx upstream or of aiohttp, "
    "`IdleConnTimeout` of Go, `evictIdleConnections` of Apache HttpClient, `pool_recycle` of others)",
    look="`is_connection_dropped` of urllib3, `setValidateAfterInactivity` of Apache HttpClient, `testOnBorrow` "
    "of other pools",
    retry="`Retry` of urllib3, `proxy_next_upstream` of nginx, `option redispatch` and `retry-on` of haproxy",
    answer="`timeout=` of requests and urllib3, `--max-time` of curl, `proxy_read_timeout` of nginx, "
    "`timeout server` of haproxy",
    server_answer="`--timeout` of gunicorn, `proxy_read_timeout` of a proxy before it",
    keep_alive=_TCP_KEEP_ALIVE,
)
POSTGRES: Final = Settings(
    server_idle="`idle_session_timeout` or, in an open transaction, `idle_in_transaction_session_timeout` of "
    "PostgreSQL (`client_idle_timeout` of PgBouncer)",
    client_idle="`pool_recycle` of SQLAlchemy, `idleTimeout` and `maxLifetime` of HikariCP, `server_idle_timeout` of "
    "PgBouncer",
    look="`pool_pre_ping=True` of SQLAlchemy, `connectionTestQuery` of HikariCP, `testOnBorrow` of DBCP",
    retry="a new connection and the transaction from its beginning",
    answer="`statement_timeout`, `socketTimeout` of the JDBC driver, `tcp_user_timeout` of libpq",
    server_answer="`statement_timeout`",
    keep_alive="`keepalives_idle` in the libpq connection string, `tcp_keepalives_idle` in postgresql.conf",
)
MYSQL: Final = Settings(
    server_idle="`wait_timeout` (`interactive_timeout` of interactive clients, "
    "`idle_transaction_timeout` of MariaDB in a transaction)",
    client_idle="`pool_recycle` of SQLAlchemy, `idleTimeout` and `maxLifetime` of HikariCP",
    look="`pool_pre_ping=True` of SQLAlchemy, `ping(reconnect=True)` of PyMySQL, `testOnBorrow` of DBCP",
    retry="a new connection and the transaction from its beginning",
    answer="`read_timeout` of PyMySQL, `socketTimeout` of Connector/J",
    server_answer="`max_statement_time`, `max_execution_time`",
    keep_alive="`tcpKeepAlive` of the driver with `net.ipv4.tcp_keepalive_time` of the host (7200 s unless set)",
)
REDIS: Final = Settings(
    server_idle="`timeout` in redis.conf, or `timeout client` of a haproxy before it",
    client_idle="the pool's idle time-out (`minEvictableIdleDuration` of Jedis, `ConnMaxIdleTime` of go-redis)",
    look="`health_check_interval` of redis-py, `testOnBorrow` of Jedis",
    retry="`retry` and `retry_on_error` of redis-py",
    answer="`socket_timeout` of redis-py, `soTimeout` of Jedis",
    server_answer="`busy-reply-threshold`; `SLOWLOG GET` shows which commands take long",
    keep_alive="`tcp-keepalive` in redis.conf, `socket_keepalive` of redis-py",
)
SSH: Final = Settings(
    server_idle="`ClientAliveInterval` with `ClientAliveCountMax`, or `LoginGraceTime` before the login, of sshd",
    client_idle="`ControlPersist` of ssh",
    look="`ssh -O check`",
    retry="a new connection",
    answer="`ConnectTimeout` of ssh",
    server_answer="`LoginGraceTime`",
    keep_alive="`ServerAliveInterval` of ssh, `ClientAliveInterval` of sshd, `TCPKeepAlive`",
)
OTHER: Final = Settings(
    server_idle="the idle time-out of the program that listens there (`timeout client` if it is haproxy)",
    client_idle="the idle time-out of its pool",
    look="the test on borrow of its pool",
    retry="a new connection and the request again",
    answer="the time-out of its requests",
    server_answer="the time-out of its requests",
    keep_alive=_TCP_KEEP_ALIVE,
)

_PROTOCOLS: Final = {
    "http": HTTP, "http2": HTTP, "postgres": POSTGRES, "mysql": MYSQL, "redis": REDIS, "ssh": SSH,
    "smtp": OTHER, "ftp": OTHER, "imap": OTHER, "ldap": OTHER, "dns": OTHER,
}  # fmt: skip
"""By the protocol that was heard; TLS is missing, since it carries any of them."""

_RANGES: Final = (
    (22, 22, SSH),
    (80, 89, HTTP),
    (443, 443, HTTP),
    (2222, 2222, SSH),
    (3000, 3010, HTTP),
    (3306, 3319, MYSQL),
    (5000, 5001, HTTP),
    (5432, 5449, POSTGRES),
    (6378, 6399, REDIS),
    (6432, 6432, POSTGRES),
    (8000, 8999, HTTP),
    (9000, 9000, HTTP),
    (9080, 9099, HTTP),
    (9443, 9443, HTTP),
    (26379, 26379, REDIS),
    (33060, 33060, MYSQL),
)
"""First and last port; a second server on one host usually listens on a port next to the usual one."""

_DEFAULTS: Final[dict[int, dict[Settings, str]]] = {
    2: {HTTP: "gunicorn (`--keep-alive`)"},
    5: {HTTP: "Apache, uvicorn and Node.js"},
    60: {HTTP: "an AWS ALB"},
    75: {HTTP: "nginx (`keepalive_timeout`)"},
    120: {SSH: "sshd (`LoginGraceTime`)"},
    28_800: {MYSQL: "MySQL and MariaDB (`wait_timeout`)"},
}
"""What a server closes idle connections after, unless set, in seconds."""

_ROUND_NS: Final = NS_PER_S // 10
"""What is advised is a multiple of this, unless it is shorter."""

GREETING_PORTS: Final = (21, 22, 25, 110, 119, 143, 587, 2222, *range(3306, 3320), 5900)
"""Ports where it is the server that speaks first: FTP, SSH, mail, news, MySQL, VNC."""

USUAL_S: Final = (
    1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 45, 50, 60, 65, 75, 90, 100, 120, 150, 180, 200, 240, 300, 350,
    360, 400, 480, 500, 600, 720, 900, 1000, 1200, 1500, 1800, 2700, 3600, 5400, 7200, 14_400, 28_800, 86_400,
)  # fmt: skip
"""Lengths that people set time-outs to, and the defaults of programs, in seconds."""


def settings_of(port: int, protocol: str = "") -> Settings:
    """The settings of the program that listens, by the protocol that was heard, or else by its port.

    Args:
        port: it listens there.
        protocol: as in :class:`pcapflow.payload.said.Said`; "" where nothing was read. TLS tells nothing of it.
    """
    if protocol in _PROTOCOLS:
        return _PROTOCOLS[protocol]
    for first, last, settings in _RANGES:
        if first <= port <= last:
            return settings
    return OTHER


def below(limit_ns: int) -> int:
    """A time-out of a client that is safely below one of a server, in nanoseconds."""
    safe_ns = limit_ns // 2 if limit_ns < 4 * NS_PER_S else limit_ns - max(NS_PER_S, limit_ns // 10)
    return safe_ns // _ROUND_NS * _ROUND_NS or safe_ns


def above(waited_ns: int) -> int:
    """A time-out of a server that is safely above what clients wait, in whole seconds, as nanoseconds."""
    return -(-(waited_ns + max(NS_PER_S // 2, waited_ns // 10)) // NS_PER_S) * NS_PER_S


def is_set_to(length_ns: int) -> str:
    """What a time-out that is checked now and then was probably set to: ``, probably set to 3 s``, or nothing."""
    if is_usual(length_ns):
        return ""
    lower = max((seconds for seconds in USUAL_S if seconds * NS_PER_S <= length_ns), default=0)
    is_near = lower >= 2 and length_ns - lower * NS_PER_S <= NS_PER_S
    return f", probably set to {lower} s and looked at now and then" if is_near else ""


def default_of(settings: Settings, idle_ns: int) -> str:
    """Whose default for idle connections this is: ``; 75 s is the default of nginx ...``, or nothing."""
    for seconds, programs in _DEFAULTS.items():
        if _is_length(idle_ns, seconds) and settings in programs:
            return f"; {number(seconds)} s is the default of {programs[settings]}"
    return ""


def is_usual(length_ns: int) -> bool:
    """Whether a time-out that was set to one of :data:`USUAL_S` would take this long."""
    return any(_is_length(length_ns, seconds) for seconds in USUAL_S)


def _is_length(length_ns: int, seconds: int) -> bool:
    late_ns = length_ns - seconds * NS_PER_S
    return -_EARLY_NS <= late_ns <= max(_LATE_NS, seconds * _LATE_NS_A_SECOND)


_EARLY_NS: Final = 30_000_000
"""A time-out may have begun this long before the last word passed the tap."""
_LATE_NS: Final = 60_000_000
_LATE_NS_A_SECOND: Final = 5_000_000
"""Timers are late by a few ticks, round trips, or by a half in a hundred."""


_DEVICES: Final = {
    60: "an AWS ALB",
    240: "an Azure load balancer",
    300: "many firewalls",
    350: "an AWS NLB or NAT gateway",
    600: "a Google Cloud firewall",
    900: "many firewalls",
    3600: "a Cisco or Palo Alto firewall",
}
"""Idle time-outs of devices, in seconds, as their makers document them."""


def device_of(idle_ns: int) -> str:
    """Whose default a silence of this length is just above: ``, as of an AWS NLB ...``, or nothing."""
    for seconds, device in _DEVICES.items():
        if 0 <= idle_ns - seconds * NS_PER_S <= seconds * NS_PER_S // 50:
            return f", about the default of {device}"
    return ""
