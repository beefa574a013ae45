"""An SMTP server for the tests: aiosmtpd, with a script of what to refuse.

It writes one JSON object a line: first {"port", "ca"}, then {"connected": N} for each connection and a letter for each that
it took. It reads one JSON object a line: "refuse" maps a command to the answers to give to it, one after the other
("RCPT a@example.org" for one receiver); "hang_up": true closes all connections. It ends with its input.
"""

import argparse
import asyncio
import json
import logging
import ssl
import sys
import warnings

import trustme
from aiosmtpd.smtp import SMTP, AuthResult


def say(what):
    print(json.dumps(what), flush=True)


class Script:
    """What to refuse, and what is open."""

    def __init__(self):
        self.refuse = {}
        self.open = {}
        self.connections = 0

    def answer(self, *commands):
        for command in commands:
            if self.refuse.get(command):
                return self.refuse[command].pop(0)
        return None


class Handler:
    def __init__(self, script):
        self.script = script

    async def handle_MAIL(self, server, session, envelope, address, options):
        refusal = self.script.answer("MAIL")
        if refusal:
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        refusal = self.script.answer(f"RCPT {address}", "RCPT")
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        refusal = self.script.answer("DATA")
        if refusal:
            return refusal
        login = session.auth_data if session.authenticated else None
        say(
            {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "text": envelope.original_content.decode(),
                "tls": session.ssl is not None or server.encrypted,
                "login": login,
                "hello": session.host_name,
                "connection": server.number,
            }
        )
        return "250 taken"


class Server(SMTP):
    """One connection."""

    script = None
    encrypted = False
    number = None

    def connection_made(self, transport):
        # STARTTLS makes it again, over the same connection.
        if self.number is None:
            self.script.connections += 1
            self.number = self.script.connections
            say({"connected": self.number})
        self.script.open[self.number] = transport
        super().connection_made(transport)

    def connection_lost(self, error):
        self.script.open.pop(self.number, None)
        super().connection_lost(error)


def authenticator(user, password):
    def check(server, session, envelope, mechanism, data):
        right = (data.login.decode(), data.password.decode()) == (user, password)
        message = None if right else "535 5.7.8 bad credentials"
        return AuthResult(success=right, handled=False, message=message, auth_data=data.login.decode())

    return check


async def commands(script):
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        told = json.loads(line)
        script.refuse.update(told.get("refuse", {}))
        if told.get("hang_up"):
            for transport in list(script.open.values()):
                transport.close()
        say({"did": told})


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--security", default="none")
    parser.add_argument("--login", default="")
    parser.add_argument("--no-plain", action="store_true")
    parser.add_argument("--ascii", action="store_true")
    parser.add_argument("--silent", action="store_true")
    arguments = parser.parse_args()

    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    script = Script()
    settings = {"ident": "test", "hostname": "localhost", "enable_SMTPUTF8": not arguments.ascii}
    if arguments.security == "starttls":
        settings |= {"tls_context": tls, "require_starttls": True}
    if arguments.login:
        user, password = arguments.login.split(":")
        # Over TLS from the first byte aiosmtpd does not know that there is any.
        settings |= {"auth_required": True, "authenticator": authenticator(user, password)}
        settings |= {"auth_require_tls": arguments.security == "starttls"}
        settings |= {"auth_exclude_mechanism": ["PLAIN"] if arguments.no_plain else []}

    def connection():
        if arguments.silent:
            return asyncio.Protocol()
        server = Server(Handler(script), **settings)
        server.script, server.encrypted = script, arguments.security == "tls"
        return server

    listener = await asyncio.get_running_loop().create_server(
        connection, "127.0.0.1", arguments.port, ssl=tls if arguments.security == "tls" else None
    )
    say({"port": listener.sockets[0].getsockname()[1], "ca": authority.cert_pem.bytes().decode()})
    await commands(script)


# What it warns of (a login without TLS) is what some tests are about.
warnings.simplefilter("ignore")
logging.disable()
asyncio.run(main())
