"""What the catalogue says about a rule, cut into the parts of a finding's card."""

from __future__ import annotations

from typing import NamedTuple

from pcapflow.anomalies.catalogue import rule_of
from pcapflow.report.rich_text import Rich, rich
from pcapflow.text.phrases import sentence


class Advice(NamedTuple):
    """What one side can do."""

    who: str
    text: Rich


class RuleText(NamedTuple):
    """One rule in words: what it is called, what was seen, what it means, what to do, and what else it could be."""

    title: str
    summary: Rich
    means: Rich
    advice: tuple[Advice, ...]
    otherwise: Rich


def rule_text(code: str, name: str) -> RuleText:
    """The words of a rule; one that is not in the catalogue is called by its name, and nothing is added."""
    try:
        rule = rule_of(code)
    except KeyError:
        return RuleText(name.replace("-", " ").capitalize(), (), (), (), ())
    text = rule.help
    return RuleText(
        title=rule.title,
        summary=rich(sentence(text.summary)),
        means=rich(sentence(text.means)),
        advice=tuple(Advice(who, rich(advice)) for who, advice in text.do),
        otherwise=rich(sentence(text.otherwise)),
    )
