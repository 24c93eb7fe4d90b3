"""What makes a function a rule.

A rule's docstring is its help text, shown by ``pcapflow rules CODE`` and on the report's cards; see :class:`Help`
for its parts. Adding a rule takes one function in any module of a family's package (a new module is found by itself,
see :mod:`pcapflow.anomalies.catalogue`), its docstring, its :class:`Lead`, and a firing and a near-miss test. The
function picks rows of the tables and returns them by one of the constructors of :mod:`pcapflow.anomalies.hits`.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from pcapflow.anomalies.docstrings import advice_of, parts_of
from pcapflow.anomalies.model import Hits
from pcapflow.config import Config
from pcapflow.tables.table import Tables
from pcapflow.tcp.states import CLIENT


class Doubt(enum.Flag):
    """Faults of a capture that cast doubt on a rule's verdict; :mod:`pcapflow.anomalies.run` acts on them.

    They count for the connection that a row names, and for a row of many where half of these have them. A file that was
    cut off (PF904) casts none: its end is known, and rules that need time after an event look at it.
    """

    NONE = 0
    ONE_WAY = enum.auto()
    """The verdict speaks of a side of which the capture has nothing: withheld."""
    GAPS = enum.auto()
    """The verdict rests on something not seen, and the capture lacks packets: lowered."""
    DUPLICATES = enum.auto()
    """The verdict counts repetitions, and the capture holds copies of packets: less sure."""
    CLOCK = enum.auto()
    """The verdict rests on an interval, and the capture's clock went back: less sure."""


class Limit(enum.Enum):
    """What a rule about the capture says of its evidence; the report's line on the capture's quality words it.

    A rule about the capture that declares none appears there with its own sentence.
    """

    GAPS = enum.auto()
    """Acknowledged bytes that the capture does not hold."""
    DIRECTIONS = enum.auto()
    """Connections of which it holds one direction only."""
    COPIES = enum.auto()
    """Packets that it holds more than once."""
    END = enum.auto()
    """A file that ends inside a record."""
    CLOCK = enum.auto()
    """Time stamps that go back."""
    UNDECODED = enum.auto()
    """Packets that were not decoded down to TCP."""


class Lead(NamedTuple):
    """The sentence, without its full stop, that begins a report whose worst finding is of this rule: who does what.

    ``{who}`` stands for the hosts to blame and ``{server}`` for the servers concerned: an address and port, ``3 ports
    of`` an address, or ``3 servers``. Of two words in brackets, as in ``{who} [does|do] not close``, the second is said
    of several.

    Attributes:
        one: said of one connection.
        several: said of several; "" says the same as of one.
        blameless: both for findings that blame neither side, where the others have ``{who}``: a rule that has such
            findings needs it.
    """

    one: str
    several: str = ""
    blameless: tuple[str, str] | None = None

    def pattern(self, *, several: bool, blamed: bool) -> str:
        """The sentence that fits, with its places still to be filled; "" where it names whom nobody blames."""
        sentences = (self.one, self.several or self.one)
        if "{who}" in sentences[several] and not blamed:
            sentences = self.blameless or ("", "")
        return sentences[several]


class Help(NamedTuple):
    """The parts of a rule's docstring.

    Attributes:
        summary: its first sentence, what was seen.
        means: what that means.
        do: what to do, as (side, advice) pairs; sides are those of
            :data:`pcapflow.anomalies.docstrings.SIDES`.
        otherwise: what else it could be, and when it is no fault.
        source: the RFC clause, kernel function or tool the rule stands on.
    """

    summary: str
    means: str
    do: tuple[tuple[str, str], ...]
    otherwise: str
    source: str


class CauseHelp(NamedTuple):
    """What one cause of an anomaly means and what to do about it, for a rule that knows several.

    Attributes:
        means: what it means.
        sender: what the side that the finding names can do.
        receiver: what the other side can do.
        network: what can be done between the two.
    """

    means: str
    sender: str = ""
    receiver: str = ""
    network: str = ""


class Rule(NamedTuple):
    """One rule of the catalogue; calling it looks for its anomaly.

    Attributes:
        code: ``PF`` and three digits; the first is the family.
        name: the fault in a few words with hyphens.
        title: the fault as a heading.
        doubts: which faults of a capture weaken its verdict.
        lead: how a report begins whose worst finding is of this rule; none for rules about the capture.
        limit: which limit of the evidence it reports, for rules about the capture.
        causes: the words for each cause that has its own, by the cause's name.
        find: the function itself.
    """

    code: str
    name: str
    title: str
    doubts: Doubt
    lead: Lead | None
    limit: Limit | None
    causes: Mapping[str, CauseHelp]
    find: Callable[[Tables, Config], Hits]

    def __call__(self, tables: Tables, config: Config) -> Hits:  # noqa: D102
        return self.find(tables, config)

    @property
    def help(self) -> Help:
        """The parts of its docstring.

        Raises:
            ValueError: a part is missing or empty.
        """
        return parse_help(inspect.getdoc(self.find) or "")

    def help_for(self, cause: str, endpoint: int) -> Help:
        """The parts of its help for a finding: of its cause alone, where that has words for whom the finding names.

        Args:
            cause: of the finding.
            endpoint: the side that the finding names, 0 client, 1 server; -1 names neither, and neither is advised.
        """
        own = self.causes.get(cause, CauseHelp(""))
        sides = ("Client", "Server") if endpoint == CLIENT else ("Server", "Client")
        advice = [(sides[0], own.sender), (sides[1], own.receiver)] if endpoint >= 0 else []
        do = tuple((side, text) for side, text in (*advice, ("Network", own.network)) if text)
        return self.help._replace(means=own.means, do=do, otherwise="") if do else self.help


def rule(
    code: str,
    name: str,
    *,
    title: str,
    doubts: Doubt = Doubt.NONE,
    lead: Lead | None = None,
    limit: Limit | None = None,
    causes: Mapping[str, CauseHelp] = MappingProxyType({}),
) -> Callable[[Callable[[Tables, Config], Hits]], Rule]:
    """Makes a rule of a function; its docstring must have the parts of :class:`Help`.

    Args:
        code: ``PF`` and three digits, of which the first is the family; see :class:`Rule` for the other parameters.
    """
    return functools.partial(Rule, code, name, title, doubts, lead, limit, causes)


def parse_help(docstring: str) -> Help:
    """Cuts a rule's docstring into its parts.

    Raises:
        ValueError: a part is missing or empty.
    """
    parts = parts_of(docstring, ("Means", "Do", "Else", "Source"))
    return Help(parts["Summary"], parts["Means"], advice_of(parts["Do"]), parts["Else"], parts["Source"])
