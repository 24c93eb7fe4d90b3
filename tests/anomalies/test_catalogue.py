"""The catalogue: every rule has its help, its place and its tests."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from pcapflow.anomalies.catalogue import catalogue
from pcapflow.anomalies.docstrings import SIDES
from pcapflow.anomalies.lookup.groups import group, group_keys, peak
from pcapflow.anomalies.resets.causes import CAUSES
from pcapflow.anomalies.rule import CauseHelp, Rule, parse_help
from pcapflow.tcp.states import CLIENT, SERVER
from tests.anomalies.cases import FIRING, SPARING

for path in Path(__file__).parent.glob("test_*.py"):
    importlib.import_module(f"tests.anomalies.{path.stem}")

RULES = catalogue()
HELP = """Something was seen.

Means: this.
Do:
    Client: that.
    Network: something
        else.
Else: no.
Source: RFC 9293.
"""


def test_codes_are_unique_and_in_order() -> None:
    codes = [rule.code for rule in RULES]

    assert codes == sorted(set(codes))
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(re.fullmatch(r"PF[1-49]\d\d", code) for code in codes)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_has_its_help_and_its_tests(rule: Rule) -> None:
    parts = [rule.help.summary, rule.help.means, rule.help.otherwise, rule.help.source, rule.title]

    assert all(part[0].isupper() or part[0].islower() for part in parts)
    assert rule.help.summary.endswith(".")
    assert rule.help.do
    assert all(side in SIDES and text for side, text in rule.help.do)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
    assert FIRING[rule.code], f"no test makes {rule.code} fire"
    assert SPARING[rule.code], f"no test shows what {rule.code} spares"


@pytest.mark.parametrize("cause", [cause for cause in CAUSES if cause != "stray"])
def test_every_cause_of_a_reset_has_words_of_its_own(cause: str) -> None:
    rule = next(rule for rule in RULES if rule.code == "PF301")
    others = {name: own for name, own in rule.causes.items() if name != cause}

    said = rule.help_for(cause, SERVER)

    assert said.means != rule.help.means
    assert said.do
    assert not any(own.means == said.means for own in others.values())


def test_advice_is_for_the_side_that_a_finding_names() -> None:
    own = CauseHelp("it.", sender="a.", receiver="b.", network="c.")
    rule = RULES[0]._replace(causes={"why": own})

    assert rule.help_for("why", CLIENT).do == (("Client", "a."), ("Server", "b."), ("Network", "c."))
    assert rule.help_for("why", SERVER).do == (("Server", "a."), ("Client", "b."), ("Network", "c."))
    # Where neither side is to blame, neither is told to mend anything.
    assert rule.help_for("why", -1).do == (("Network", "c."),)
    assert rule.help_for("another", CLIENT) == rule.help
    of_a_side = RULES[0]._replace(causes={"why": own._replace(network="")})
    assert of_a_side.help_for("why", -1) == rule.help


def test_a_docstring_is_cut_into_its_parts() -> None:
    text = parse_help(HELP)

    assert (text.summary, text.means, text.otherwise, text.source) == (
        "Something was seen.",
        "this.",
        "no.",
        "RFC 9293.",
    )
    assert text.do == (("Client", "that."), ("Network", "something else."))


@pytest.mark.parametrize("part", ["Means", "Do", "Else", "Source"])
def test_a_docstring_that_lacks_a_part_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="lacks"):
        parse_help(HELP.replace(f"{part}:", "Note:"))


def test_equal_rows_have_equal_keys_and_groups_keep_their_order() -> None:
    left, right = np.array([5, 7, 5, 5]), np.array([1, 1, 2, 1])

    groups = group(np.arange(4), group_keys(left, right))

    assert sorted(members.tolist() for members in groups.at_least(1)) == [[0, 3], [1], [2]]


def test_touching_intervals_do_not_overlap() -> None:
    assert peak(np.array([0, 10, 12]), np.array([10, 20, 15])) == (2, 12)
    assert peak(np.array([], dtype=np.int64), np.array([], dtype=np.int64)) == (0, -1)
