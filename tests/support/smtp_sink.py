"""A real SMTP server that keeps what it is given.

Prints its port, then one JSON line for each mail. Refuses the first REFUSALS mails for the time
being. Ends when its standard input does.
"""

import asyncio
import base64
import json
import sys

from aiosmtpd.smtp import SMTP

refusals = int(sys.argv[1])


class Sink:
    async def handle_DATA(self, server, session, envelope):
        global refusals
        if refusals > 0:
            refusals -= 1
            return "451 Try again later"
        content = envelope.content
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "raw": base64.b64encode(content).decode(),
        }
        print(json.dumps(mail), flush=True)
        return "250 Accepted"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Sink(), hostname="sink.test", enable_SMTPUTF8=True), "127.0.0.1", 0
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
