"""Posts `{"text": "TYPE SUBJECT"}` to the configured URL."""

import json

from busway import Refused, Unanswered, post
from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.events import About, Delivery, Event, Failure, Head

SCHEMA = {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}}

# Set by `init`, which the hub calls once per instance, before anything else. (There is a new Notifier for every call.)
url: str


class Notifier(exports.Notifier):
    def describe(self) -> About:
        return About("posts events to a URL", json.dumps(SCHEMA))

    def init(self, config: str) -> None:
        global url
        url = json.loads(config).get("url", "")
        if not url.startswith(("https://", "http://")):
            raise Err("config: url must begin with https:// or http://")

    def notify(self, head: Head, event: Event, delivery: Delivery) -> None:
        body = json.dumps({"text": f"{head.type} {head.subject or ''}"}).encode()
        try:
            answer = post(url, body, {"content-type": "application/json"})
        except Refused as refused:
            raise Err(Failure(str(refused), retry=False, retry_after_ms=None)) from None
        except Unanswered as silence:
            raise Err(Failure(str(silence), retry=True, retry_after_ms=None)) from None
        if answer.status not in range(200, 300):
            again = answer.status == 429 or answer.status >= 500
            raise Err(Failure(f"the sink answered {answer.status}", again, answer.retry_after_ms if again else None))
