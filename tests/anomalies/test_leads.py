"""Every rule about connections says in a full sentence who does what; no heading stands in for one."""

from __future__ import annotations

import re

import pytest

from pcapflow.anomalies.catalogue import catalogue, known_rule
from pcapflow.anomalies.codes import is_about_capture
from pcapflow.anomalies.rule import Lead
from tests.anomalies.test_every_code_from_segments import SPEAKS, Case, anomalies
from tests.ladders import ISNS

LEADS = {rule.code: rule.lead for rule in catalogue() if not is_about_capture(rule.code)}


def sentences(lead: Lead) -> list[str]:
    """All that a lead can say."""
    return [text for text in (lead.one, lead.several, *(lead.blameless or ())) if text]


@pytest.mark.parametrize("code", LEADS)
def test_a_rule_about_connections_has_a_sentence_that_names_somebody(code: str) -> None:
    lead = LEADS[code]

    assert lead is not None
    for text in sentences(lead):
        assert re.match(r"[A-Z{]", text), text
        assert not re.search(r"[:;.]", text), text
        assert "{who}" in text or "{server}" in text, text


@pytest.mark.parametrize("case", SPEAKS, ids=lambda case: case.code)
def test_who_is_named_is_also_blamed(case: Case) -> None:
    """A sentence about who is to blame is no use where the rule blames nobody, unless it has another for that."""
    for row in anomalies(case, ISNS["plain"]):
        rule = known_rule(row.code)
        assert rule is not None
        if rule.lead is not None:
            for several in (False, True):
                assert rule.lead.pattern(several=several, blamed=row.endpoint >= 0), row.code
