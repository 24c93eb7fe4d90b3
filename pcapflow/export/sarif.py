"""SARIF 2.1.0: a batch as a code-scanning service takes it. Source: the OASIS standard of that name."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pcapflow.diagnosis.catalogue import everything
from pcapflow.text.escape import printable
from pcapflow.version import __version__

if TYPE_CHECKING:
    from pcapflow.anomalies.rule import Rule
    from pcapflow.diagnosis.pattern import Pattern
    from pcapflow.outcome import Outcome

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {"high": "error", "medium": "warning", "low": "note", "info": "note"}


def to_sarif(outcomes: Sequence[Outcome], left_out: Sequence[str] = ()) -> str:
    """The incidents and anomalies of a batch as one SARIF run; of each capture the incidents come first.

    A capture that could not be analysed is a notification, as is one that was left out because the batch was
    interrupted.
    """
    catalogue = everything()
    index = {entry.code: i for i, entry in enumerate(catalogue)}
    reasons = [(outcome.path, outcome.error) for outcome in outcomes if outcome.error]
    reasons += [(path, "the batch was interrupted before this capture was analysed") for path in left_out]
    notifications = [
        {"level": "error", "message": {"text": printable(reason)}, "locations": [_location(path)]}
        for path, reason in reasons
    ]
    run = {
        "tool": {
            "driver": {
                "name": "pcapflow",
                "semanticVersion": __version__,
                "rules": [_rule(entry) for entry in catalogue],
            }
        },
        "invocations": [{"executionSuccessful": not notifications, "toolExecutionNotifications": notifications}],
        "results": [
            result
            for outcome in outcomes
            for result in (
                *(_incident(outcome, incident, index[incident["code"]]) for incident in outcome.incidents),
                *(_anomaly(outcome, anomaly, index[anomaly["code"]]) for anomaly in outcome.anomalies),
            )
        ],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _rule(rule: Rule | Pattern) -> dict[str, Any]:
    advice = " ".join(f"{side}: {text}" for side, text in rule.help.do)
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.help.summary},
        "help": {"text": f"{rule.help.means} {advice} Otherwise: {rule.help.otherwise}"},
    }


def _incident(outcome: Outcome, incident: dict[str, Any], index: int) -> dict[str, Any]:
    names = ("severity", "blame", "start", "end", "flows", "hosts", "frames", "confidence", "why", "against", "remedy")
    return {
        "ruleId": incident["code"],
        "ruleIndex": index,
        "level": _LEVELS[incident["severity"]],
        "message": {"text": printable(incident["headline"])},
        "locations": [_location(outcome.path)],
        "properties": {name: incident[name] for name in names},
    }


def _anomaly(outcome: Outcome, anomaly: dict[str, Any], index: int) -> dict[str, Any]:
    location = _location(outcome.path)
    if anomaly["flow"] is not None:
        location["logicalLocations"] = [{"name": f"flow {anomaly['flow']}", "kind": "member"}]
    return {
        "ruleId": anomaly["code"],
        "ruleIndex": index,
        "level": _LEVELS[anomaly["severity"]],
        "message": {"text": printable(anomaly["detail"])},
        "locations": [location],
        "properties": {
            name: anomaly[name] for name in ("severity", "flow", "endpoint", "frames", "cause", "confidence", "count")
        },
    }


def _location(path: str) -> dict[str, Any]:
    uri = Path(path).as_uri() if Path(path).is_absolute() else quote(os.fsencode(path))
    return {"physicalLocation": {"artifactLocation": {"uri": uri}}}
