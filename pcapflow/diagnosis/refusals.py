"""What servers say when they take no more, and which setting is behind it: by protocol and by the code of the error."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pcapflow.payload.said import Said


class Refusal(NamedTuple):
    """One kind of refusal.

    Attributes:
        protocol: as :class:`pcapflow.payload.said.Said` names it.
        code: a regular expression for the code of the error.
        words: one for its words.
        is_limit: the server takes no more; else it does not let this client in.
        reason: why, in words that go on a sentence: "because ...".
        server, client: what either side can set.
        request: a regular expression for what was asked.
        is_setting: the server lets nobody in, whoever asks, because it is set so: it is the server's to mend.
    """

    protocol: str
    code: str
    words: str
    is_limit: bool
    reason: str
    server: str
    client: str
    request: str = ""
    is_setting: bool = False


REFUSALS: Final = (
    Refusal(
        "postgres", "53300|53400", "", True, "its limit of connections was reached",
        "raise `max_connections` of PostgreSQL, or put PgBouncer before it; `pg_stat_activity` shows who holds them",
        "let its pool open fewer connections (`pool_size` of SQLAlchemy, `maximumPoolSize` of HikariCP)",
    ),
    Refusal(
        "postgres", "57P03", "", True, "it was starting up, shutting down or recovering",
        "wait until it has recovered; its log says how far it is", "retry with growing pauses",
    ),
    Refusal(
        "postgres", "28P01", "", False, "the user name or the password was wrong",
        "its log says more than it tells the client: a role that does not exist, no password set, a password that has "
        "expired", "correct the user name or the password that it connects with (connection string, `PGPASSWORD`, "
        "`~/.pgpass`)",
    ),
    Refusal(
        "postgres", "28000", "", False, "no line of its `pg_hba.conf` lets this user in from there",
        "add a line to `pg_hba.conf` if it should be let in, and reload (`SELECT pg_reload_conf()`)",
        "check user, database and `sslmode` of its connection",
    ),
    Refusal(
        "postgres", "3D000|42501", "", False, "the database does not exist or is not open to this user",
        "create the database, or grant the right to connect", "check the database's name in its connection",
    ),
    Refusal(
        "postgres", "08P01", "no more connections", True, "the pooler's limit of clients was reached",
        "raise `max_client_conn` of PgBouncer and its limit on open files; `SHOW CLIENTS` shows who holds them",
        "let its pool open fewer connections (`pool_size` of SQLAlchemy, `maximumPoolSize` of HikariCP)",
    ),
    Refusal(
        "mysql", "1040", "", True, "its limit of connections was reached",
        "raise `max_connections` of MySQL or MariaDB; `SHOW PROCESSLIST` shows who holds them",
        "let its pool open fewer connections, and close those that are idle",
    ),
    Refusal(
        "mysql", "1203|1226", "", True, "the user's limit of connections was reached",
        "raise `max_user_connections`", "let its pool open fewer connections",
    ),
    Refusal(
        "mysql", "1129", "", False, "the client's host is blocked after many broken handshakes",
        "`FLUSH HOSTS` unblocks it; `max_connect_errors` is the limit", "find out what connects from there and ends at "
        "once: often a health check that speaks no MySQL",
    ),
    Refusal(
        "mysql", "1045|1698", "", False, "the user name or the password was wrong, or not valid from this host",
        "`SELECT user, host, plugin FROM mysql.user` says who may come in from where",
        "correct the user name or the password that it connects with",
    ),
    Refusal(
        "mysql", "1130", "", False, "no user may connect from this host",
        "create the user for this host (`CREATE USER ...@'HOST'`) if it should be let in",
        "connect from a host that it lets in",
    ),
    Refusal(
        "mysql", "1044|1049", "", False, "the database does not exist or is not open to this user",
        "create the database, or `GRANT` the right to use it", "check the database's name in its connection",
    ),
    Refusal(
        "redis", "ERR", "max number of clients", True, "its limit of clients was reached",
        "raise `maxclients` of Redis and the limit on open files; `CLIENT LIST` shows who holds them",
        "let its pool open fewer connections (`max_connections` of redis-py), and close those that are idle",
    ),
    Refusal(
        "redis", "NOAUTH", "", False, "it wants a password and the client gave none",
        "`requirepass` or `ACL LIST` says for whom it wants one",
        "let it log in first: `redis://USER:PASSWORD@HOST`, `password=` of redis-py, `AUTH`",
    ),
    Refusal(
        "redis", "WRONGPASS|NOPERM", "", False, "the user name or the password was wrong, or the user may not do this",
        "`ACL LIST` says who may do what, `ACL LOG` who was turned away", "correct its user name or password",
    ),
    Refusal(
        "redis", "DENIED", "", False, "it is in protected mode, which lets in nobody from another host",
        "set a password (`requirepass`), or `protected-mode no` with a `bind` to the trusted network alone",
        "give the password once there is one", is_setting=True,
    ),
    Refusal(
        "redis", "LOADING|MASTERDOWN|CLUSTERDOWN", "", True, "it was loading its data or had lost its master",
        "wait until it has loaded; `INFO persistence` says how far it is", "retry with growing pauses",
    ),
    Refusal(
        "ssh", "", "MaxStartups", True, "too many log-ins were unfinished at once",
        "raise `MaxStartups` of sshd, and lower `LoginGraceTime`, so that log-ins that hang end sooner",
        "log in less often, or over one connection (`ControlMaster`)",
    ),
    Refusal(
        "ssh", "", ".", False, "it does not let this client in", "its log says why",
        "connect from an address that it lets in",
    ),
    Refusal(
        "smtp", "4[25]1|45[024]", "", True, "it takes no more mail for now",
        "its log says which limit was met", "keep the mail and try again later",
    ),
    Refusal(
        "smtp", "5..", "", False, "it does not take this mail or this client",
        "its log says which rule was met", "check log-in, sender and recipient",
    ),
    Refusal(
        "ftp", "421|530", "(?i)maximum|too many|limit", True, "its limit of clients was reached",
        "raise `MaxClients` of ProFTPD or `max_clients` of vsftpd; `ftpwho` shows who is logged in",
        "log in less often, and say QUIT when it is done",
    ),
    Refusal(
        "ftp", "421", "", True, "it takes nobody for now", "its log says which limit was met", "try again later",
    ),
    Refusal(
        "ftp", "530|532", "", False, "the user or the password is not one it knows",
        "its log says why; `AuthOrder` of ProFTPD, `pam_service_name` of vsftpd", "check user and password",
    ),
    Refusal(
        "imap", "UNAVAILABLE|INUSE|LIMIT|CONTACTADMIN", "", True, "it takes no log-in for now", "its log says why "
        "(`mail_max_userip_connections` of Dovecot)", "keep fewer connections open, and try again later",
    ),
    Refusal(
        "imap", "AUTHENTICATIONFAILED|AUTHORIZATIONFAILED|PRIVACYREQUIRED|EXPIRED", "", False,
        "the user or the password is not one it knows", "its log says why (`auth_verbose = yes` of Dovecot)",
        "check user and password",
    ),
    Refusal(
        "ldap", "51|52", "", True, "it is busy or not available", "its log says why", "try again later",
    ),
    Refusal(
        "ldap", "7|8|48|49|50|53", "", False, "the name, the password or the way of the log-in is not one it takes",
        "its log says why (`loglevel stats` of slapd; Active Directory puts a code after `data`)",
        "check the DN and the password of its bind",
    ),
    Refusal(
        "http", "403|407", "", False, "it opens no tunnel to that place for this client",
        "its rules say where to and for whom it opens tunnels (`http_access` and `SSL_ports` of Squid)",
        "check the proxy that is configured, its user and password, and the place that is asked for",
        request="CONNECT ",
    ),
    Refusal(
        "http", "429", "", False, "the client asks more often than it is allowed to",
        "its rate limit says how much it takes", "ask less often, and heed `Retry-After`",
    ),
    Refusal(
        "http", "502", "", True, "the server behind it gave no proper answer",
        "look at the servers behind it, whether they refuse, reset or close (`show stat` of haproxy, the error log of "
        "nginx)",
        "retry with growing pauses",
    ),
    Refusal(
        "http", "503", "", True, "it was overloaded, or no server behind it could answer",
        "look at the servers behind it (`show stat` of haproxy, the error log of nginx): none is up, or all are full",
        "retry with growing pauses, and heed `Retry-After`",
    ),
    Refusal(
        "http", "504", "", True, "the server behind it did not answer in time",
        "find out why the server behind it takes so long; the proxy waits as long as `timeout server` of haproxy or "
        "`proxy_read_timeout` of nginx says", "retry only what may be done twice: it may be under way still",
    ),
)  # fmt: skip
"""The first that fits counts. Sources: PostgreSQL, appendix A; MySQL, error reference; Redis, networking.c; OpenSSH,
sshd.c; RFC 5321, 4.2.3; RFC 959, 4.2; RFC 5530; RFC 4511, appendix A; PgBouncer, client.c; RFC 9110, 9.3.6 and 15."""


def refusal_of(said: Said) -> Refusal | None:
    """Which refusal an error is; nothing for one that ends no connection, such as a mistake in a statement."""
    for refusal in REFUSALS:
        if (
            said.protocol == refusal.protocol
            and re.fullmatch(refusal.code, said.error_code)
            and re.search(refusal.words, said.error)
            and re.match(refusal.request, said.request)
        ):
            return refusal
    return None
