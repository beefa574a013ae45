"""Keeps, or drops, the events in which a regular expression finds something.

It looks into one attribute or one value of the data. The expression is Python's own, compiled once, in `init`.
"""

import json
import re
from dataclasses import dataclass

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.events import About, Event, Head, Verdict, Verdict_Drop, Verdict_Pass

SCHEMA = {
    "type": "object",
    "properties": {
        "pattern": {"type": "string", "minLength": 1, "description": "a regular expression, as Python's re has it"},
        "in": {
            "type": "string",
            "default": "subject",
            "description": "where to look: an attribute's name, or a JSON Pointer into the data such as /log/line",
        },
        "keep": {"type": "boolean", "default": True, "description": "whether what matches passes, or what does not"},
    },
    "required": ["pattern"],
    "additionalProperties": False,
}


@dataclass
class Rule:
    pattern: re.Pattern
    place: str
    keep: bool


# Set by `init`, which the hub calls once per instance, before anything else. (Not an attribute of Filter: there is a new
# Filter for every call.)
rule: Rule


class Filter(exports.Filter):
    def describe(self) -> About:
        return About("keeps or drops events by a regular expression", json.dumps(SCHEMA))

    def init(self, config: str) -> None:
        global rule
        settings = json.loads(config)
        if "pattern" not in settings:
            raise Err("config: pattern is missing; give a regular expression")
        try:
            pattern = re.compile(settings["pattern"])
        except re.error as wrong:
            raise Err(f"config: pattern {settings['pattern']!r} is no regular expression: {wrong}") from None
        rule = Rule(pattern, settings.get("in", "subject"), settings.get("keep", True))

    def evaluate(self, head: Head, event: Event) -> Verdict:
        text = look(rule.place, event)
        found = text is not None and rule.pattern.search(text) is not None
        if found == rule.keep:
            return Verdict_Pass()
        return Verdict_Drop(f"{rule.place} {'matches' if found else 'does not match'} {rule.pattern.pattern}")


def look(place: str, event: Event) -> str | None:
    """The text at an attribute or a JSON Pointer; a value that is no string counts as its JSON."""
    if not place.startswith("/"):
        return event.attribute(place)
    found = event.at(place)
    if found is None:
        return None
    value = json.loads(found)
    return value if isinstance(value, str) else found
