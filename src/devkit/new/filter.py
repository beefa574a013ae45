"""Drops the events whose data says `"test": true`."""

from wit_world import exports
from wit_world.imports.events import About, Event, Head, Verdict, Verdict_Drop, Verdict_Pass


class Filter(exports.Filter):
    def describe(self) -> About:
        return About("drops what is marked as a test", config_schema=None)

    def init(self, config: str) -> None:
        """Called once per instance, before anything else; keep what it makes in globals, for there is a new Filter for
        every call. `raise Err("…")` (of componentize_py_types) refuses the subscription, in these words."""

    def evaluate(self, head: Head, event: Event) -> Verdict:
        if event.at("/test") == "true":
            return Verdict_Drop("a test")
        return Verdict_Pass()
