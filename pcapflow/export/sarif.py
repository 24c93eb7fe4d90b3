"""SARIF 2.1.0: a batch as a code-scanning service takes it. Source: the OASIS standard of that name."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pcapflow.anomalies.catalogue import catalogue
from pcapflow.version import __version__

if TYPE_CHECKING:
    from pcapflow.anomalies.rule import Rule
    from pcapflow.outcome import Outcome

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {"high": "error", "medium": "warning", "low": "note", "info": "note"}


def to_sarif(outcomes: Sequence[Outcome]) -> str:
    """The anomalies of a batch as one SARIF run; a capture that could not be analysed is a notification."""
    rules = catalogue()
    index = {rule.code: i for i, rule in enumerate(rules)}
    notifications = [
        {"level": "error", "message": {"text": outcome.error}, "locations": [_location(outcome)]}
        for outcome in outcomes
        if outcome.error
    ]
    run = {
        "tool": {
            "driver": {"name": "pcapflow", "semanticVersion": __version__, "rules": [_rule(rule) for rule in rules]}
        },
        "invocations": [{"executionSuccessful": not notifications, "toolExecutionNotifications": notifications}],
        "results": [
            _result(outcome, anomaly, index[anomaly["code"]]) for outcome in outcomes for anomaly in outcome.anomalies
        ],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    advice = " ".join(f"{side}: {text}" for side, text in rule.help.do)
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.help.summary},
        "help": {"text": f"{rule.help.means} {advice} Otherwise: {rule.help.otherwise}"},
    }


def _result(outcome: Outcome, anomaly: dict[str, Any], index: int) -> dict[str, Any]:
    location = _location(outcome)
    if anomaly["flow"] is not None:
        location["logicalLocations"] = [{"name": f"flow {anomaly['flow']}", "kind": "member"}]
    return {
        "ruleId": anomaly["code"],
        "ruleIndex": index,
        "level": _LEVELS[anomaly["severity"]],
        "message": {"text": anomaly["detail"]},
        "locations": [location],
        "properties": {
            name: anomaly[name] for name in ("severity", "flow", "endpoint", "frames", "cause", "confidence", "count")
        },
    }


def _location(outcome: Outcome) -> dict[str, Any]:
    path = Path(outcome.path)
    uri = path.as_uri() if path.is_absolute() else quote(os.fsencode(outcome.path))
    return {"physicalLocation": {"artifactLocation": {"uri": uri}}}
