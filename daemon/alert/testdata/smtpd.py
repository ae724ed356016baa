"""A mail server for tests, of Debian's python3-aiosmtpd: smtpd.py MODE PORT [CERT KEY] listens on 127.0.0.1 until its standard input ends.

MODE is starttls or tls, both with login as "yester" with "s3cret pass", none, rude, which hangs up once it took a mail, or refuse, which takes none. Nobody is called nobody@, busy@ is never served now, and
grey@ at the second try. The first line it prints is the port, each other one a mail as JSON.
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

mode, port = sys.argv[1], int(sys.argv[2])
context = None
if mode in ("starttls", "tls"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[3], sys.argv[4])


seen = set()


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        before, name = address in seen, address.split("@")[0]
        seen.add(address)
        if name == "busy" or name == "grey" and not before:
            return "450 4.2.1 try again later"
        if mode == "refuse" or name == "nobody":
            return "550 5.1.1 nobody here is called so"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        tls = session.ssl is not None or server.transport.get_extra_info("ssl_object") is not None
        print(json.dumps({
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": tls,
            "utf8": envelope.smtp_utf8, "user": session.auth_data or "", "data": envelope.content.decode("utf-8"),
        }), flush=True)
        return "250 OK"

    async def handle_RSET(self, server, session, envelope):
        if mode == "rude":
            server.transport.abort()
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    if data.login == b"yester" and data.password == b"s3cret pass":
        return AuthResult(success=True, auth_data="yester")
    return AuthResult(success=False, handled=False)


def session():
    if context is None:
        return SMTP(Handler(), hostname="localhost", enable_SMTPUTF8=True)
    starttls = mode == "starttls"
    return SMTP(
        Handler(), hostname="localhost", enable_SMTPUTF8=True, tls_context=context if starttls else None, require_starttls=starttls,
        authenticator=login, auth_required=True, auth_require_tls=starttls,
    )


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", port, ssl=context if mode == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(main())
