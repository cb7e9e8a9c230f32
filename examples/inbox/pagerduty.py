"""PagerDuty's Events API v2: which events it takes, and the incidents that they make.

Format: developer.pagerduty.com, "Send an Alert Event".
"""

import uuid
from collections.abc import Iterable
from typing import Any

from inbox.arrivals import Arrival

_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("critical", "error", "warning", "info")
_STATES = {"trigger": "triggered", "acknowledge": "acknowledged", "resolve": "resolved"}


class Refused(ValueError):
    """PagerDuty would not take the event; the text says why."""


def event(body: Any) -> dict[str, Any]:
    """An event that PagerDuty would take, with a dedup key of its own if it has none. Raises ``Refused``."""
    if not isinstance(body, dict):
        raise Refused("Event object is invalid")
    if len(str(body.get("routing_key", ""))) != 32:
        raise Refused("Length of 'routing_key' is incorrect (should be 32 characters)")
    if body.get("event_action") not in _ACTIONS:
        raise Refused(f"'event_action' is invalid (must be one of {', '.join(_ACTIONS)})")
    payload = body.get("payload")
    if body["event_action"] == "trigger":
        if not isinstance(payload, dict):
            raise Refused("'payload' is missing or blank")
        for name in ("summary", "source", "severity"):
            if not payload.get(name):
                raise Refused(f"'payload.{name}' is missing or blank")
        if payload["severity"] not in _SEVERITIES:
            raise Refused(f"'payload.severity' is invalid (must be one of {', '.join(_SEVERITIES)})")
    elif not body.get("dedup_key"):
        raise Refused("'dedup_key' is missing or blank")
    # The key belongs to the account: it is nothing to show.
    shown = {name: value for name, value in body.items() if name != "routing_key"}
    return {**shown, "dedup_key": str(body.get("dedup_key") or uuid.uuid4().hex)}


def incidents(arrivals: Iterable[Arrival]) -> list[dict[str, Any]]:
    """Incidents of the events, in the order in which they opened; those of a resolved one open another.

    An end of what is not kept any more is no incident.
    """
    found: list[dict[str, Any]] = []
    open_ones: dict[str, dict[str, Any]] = {}
    for arrival in arrivals:
        content = arrival.content
        incident = open_ones.get(content["dedup_key"])
        action = content["event_action"]
        if incident is None:
            if action != "trigger":
                continue
            incident = {"id": arrival.number, "opened": arrival.at, "events": 0}
            open_ones[content["dedup_key"]] = incident
            found.append(incident)
        incident |= {"state": _STATES[action], "changed": arrival.at, "number": arrival.number}
        incident["events"] += 1
        if action == "trigger":
            incident |= _facts(content)
        elif action == "resolve":
            del open_ones[content["dedup_key"]]
    return found


def _facts(content: dict[str, Any]) -> dict[str, Any]:
    payload = content["payload"]
    details = payload.get("custom_details")
    details = details if isinstance(details, dict) else {"details": details} if details else {}
    links = [link for link in content.get("links") or [] if isinstance(link, dict) and link.get("href")]
    return {
        "summary": str(payload["summary"]),
        "severity": str(payload["severity"]),
        "facts": [
            (name, str(payload[name])) for name in ("source", "component", "class", "group") if payload.get(name)
        ],
        "details": [(str(name), str(value)) for name, value in details.items() if value is not None],
        "links": [(str(link["href"]), str(link.get("text") or link["href"])) for link in links],
    }
