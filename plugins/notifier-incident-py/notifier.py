"""Opens and closes incidents through PagerDuty's Events API v2, and whatever else speaks it.

An event whose type ends with one of the configured endings opens an incident, or closes the one of the same source and
subject; PagerDuty folds repeats by the key, so a delivery that is tried twice opens nothing twice.
"""

import json

from busway import Answer, Refused, Unanswered, post
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.events import About, Delivery, Event, Failure, Head

SCHEMA = {
    "type": "object",
    "properties": {
        "routing_key": {"type": "string", "minLength": 1, "writeOnly": True, "description": "the integration's key"},
        "url": {
            "type": "string",
            "default": "https://events.pagerduty.com/v2/enqueue",
            "description": "where the events API is",
        },
        "severity": {
            "enum": ["critical", "error", "warning", "info"],
            "default": "error",
            "description": "how bad an opened incident is",
        },
        "closes": {
            "type": "array",
            "items": {"type": "string"},
            "default": ["resolved", "recovered", "succeeded"],
            "description": "a type that ends so closes the incident; every other opens one",
        },
    },
    "required": ["routing_key"],
    "additionalProperties": False,
}
DEFAULTS = {name: field["default"] for name, field in SCHEMA["properties"].items() if "default" in field}


# Set by `init`, which the hub calls once per instance, before anything else. (Not an attribute of Notifier: there is a
# new Notifier for every call.)
config: dict


class Notifier(exports.Notifier):
    def describe(self) -> About:
        return About("opens and closes incidents (PagerDuty's Events API v2)", json.dumps(SCHEMA))

    def init(self, text: str) -> None:
        global config
        config = DEFAULTS | json.loads(text)
        if not config.get("routing_key"):
            raise Err("config: routing_key is missing; give the integration's key")

    def notify(self, head: Head, event: Event, delivery: Delivery) -> None:
        body = json.dumps(incident(head, event)).encode()
        try:
            answer = post(config["url"], body, {"content-type": "application/json"})
        except Refused as refused:
            raise Err(Failure(str(refused), retry=False, retry_after_ms=None)) from None
        except Unanswered as silence:
            raise Err(Failure(str(silence), retry=True, retry_after_ms=None)) from None
        if answer.status not in range(200, 300):
            raise Err(judge(answer))


def incident(head: Head, event: Event) -> dict:
    """What the service is sent: a trigger, or a resolve of the same key."""
    common = {"routing_key": config["routing_key"], "dedup_key": f"{head.source} {head.subject or ''}".strip()}
    if head.type.endswith(tuple(config["closes"])):
        return common | {"event_action": "resolve"}
    payload = {
        "summary": f"{head.type}: {head.subject or head.source}",
        "source": head.source,
        "severity": config["severity"],
        "timestamp": event.attribute("time"),
        "custom_details": json.loads(event.at("") or "null"),
    }
    return common | {"event_action": "trigger", "payload": payload}


def judge(answer: Answer) -> Failure:
    """Too much and broken come back later; every other refusal would be the same again."""
    again = answer.status == 429 or answer.status >= 500
    words = answer.body[:200].decode(errors="replace")
    return Failure(f"the service answered {answer.status}: {words}", again, answer.retry_after_ms if again else None)
