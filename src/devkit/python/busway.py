"""One HTTP request of a plugin in Python, over wasi:http.

Python's own clients speak to sockets, which no grant of `http` opens; this asks the hub instead, which checks the grant,
dials, and speaks TLS. Redirects are not followed. What belongs to a request is given back in the order that wasi:http
demands, children before their parents.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from componentize_py_types import Err, Ok
from wit_world.imports import outgoing_handler
from wit_world.imports.streams import StreamError_Closed
from wit_world.imports.types import (
    ErrorCode_DestinationIpProhibited,
    ErrorCode_HttpRequestDenied,
    Fields,
    IncomingBody,
    Method_Other,
    OutgoingBody,
    OutgoingRequest,
    Scheme_Http,
    Scheme_Https,
)

# What one write may hold, by the contract of wasi:io.
_PIECE = 4096


class Refused(Exception):
    """The request will never be sent as it is: no grant covers it, or it is no request. Another try is of no use."""


class Unanswered(Exception):
    """Nobody answered, or not to the end. Another try may help."""


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of this name."""
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def retry_after_ms(self) -> int | None:
        """The wait that the answer asks for, if it does so in seconds."""
        value = (self.header("retry-after") or "").strip()
        return int(value) * 1000 if value.isascii() and value.isdigit() and len(value) < 10 else None


def post(url: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
    """Posts the body and waits for the whole answer."""
    return request("POST", url, body, headers)


def request(method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """Sends one request and waits for the whole answer.

    Raises `Refused` or `Unanswered`; an answer of any status is an answer.
    """
    outgoing = _request(method, url, {**(headers or {}), "content-length": str(len(body))})
    sending = outgoing.body()
    try:
        future = outgoing_handler.handle(outgoing, None)
    except Err as error:
        raise _told(error.value, url) from None
    _send(sending, body)
    with future:
        with future.subscribe() as ready:
            ready.block()
        match future.get():
            case Ok(Ok(response)):
                with response:
                    return _answer(response)
            case Ok(Err(code)):
                raise _told(code, url)
        raise Unanswered(f"no answer from {url}")


def _request(method: str, url: str, headers: dict[str, str]) -> OutgoingRequest:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Refused(f"{url} is no address: it begins with https:// or http://, and a host follows")
    try:
        fields = Fields.from_list([(name, value.encode()) for name, value in headers.items()])
        outgoing = OutgoingRequest(fields)
        outgoing.set_method(Method_Other(method))
        outgoing.set_scheme(Scheme_Https() if parts.scheme == "https" else Scheme_Http())
        outgoing.set_authority(parts.netloc)
        outgoing.set_path_with_query((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    except Err as error:
        raise Refused(f"{url} cannot be requested: {error.value}") from None
    return outgoing


def _send(sending: OutgoingBody, body: bytes) -> None:
    try:
        with sending.write() as stream:
            for at in range(0, len(body), _PIECE):
                stream.blocking_write_and_flush(body[at : at + _PIECE])
        OutgoingBody.finish(sending, None)
    except Err:
        pass  # A sink may answer and close before it has read everything: its answer says more than this error.


def _answer(response) -> Answer:
    with response.headers() as fields:
        headers = fields.entries()
    status, pieces = response.status(), []
    with response.consume() as incoming:
        with incoming.stream() as stream:
            try:
                while True:
                    pieces.append(stream.blocking_read(65536))
            except Err as end:
                if not isinstance(end.value, StreamError_Closed):
                    raise Unanswered("the answer broke off") from None
    return Answer(status, headers, b"".join(pieces))


def _told(code, url: str) -> Exception:
    match code:
        case ErrorCode_HttpRequestDenied():
            return Refused(f"the hub refused the request to {url}: grant this origin in grants.http")
        case ErrorCode_DestinationIpProhibited():
            return Refused(f"the hub refused the request to {url}: its address is not one that the hub dials")
    return Unanswered(f"no answer from {url}: {type(code).__name__.removeprefix('ErrorCode_')}")
