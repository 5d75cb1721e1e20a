"""Open the door from a terminal: `python -m apps.door --port 8000`. Three people may come in; it says how."""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import ssl

from apps.door.people import People, Right
from apps.door.server import SESSION_SECONDS, Door
from apps.options import between

EVERYBODY = {
    "ann": {"lobby": Right.OWN, "office": Right.OWN},
    "bob": {"lobby": Right.WRITE},
    "eve": {"lobby": Right.READ},
}


def context(certificate: str | None, key: str | None) -> ssl.SSLContext | None:
    """The TLS side of a server with this certificate; None without one."""
    if certificate is None:
        return None
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(certificate, key)
    return made


def main() -> None:
    """Serve on this machine until Ctrl+C or SIGTERM."""
    parser = argparse.ArgumentParser("python -m apps.door", description="A guarded meeting place.")
    parser.add_argument("--port", type=int, default=8000, help="0 chooses a free one (default: %(default)s)")
    parser.add_argument("--origin", action="append", default=[], help="of pages that may connect, too")
    parser.add_argument(
        "--session", type=between(1.0, 1e9), default=SESSION_SECONDS, help="seconds (%(default).0f)"
    )
    parser.add_argument("--certificate", help="a file; then it is https and wss")
    parser.add_argument("--key", help="the certificate's private key, if it isn't in the same file")
    given = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    logging.getLogger("websockets").setLevel(logging.ERROR)
    people = People()
    for name, rooms in EVERYBODY.items():
        password = secrets.token_urlsafe(9)
        people.add(name, password, rooms)
        print(f"{name} comes in with the password {password}", flush=True)
    try:
        door = Door(
            people,
            origins=given.origin,
            session_seconds=given.session,
            context=context(given.certificate, given.key),
        )
        asyncio.run(door.run("127.0.0.1", given.port))
    except (OSError, OverflowError) as error:  # the port is taken, the certificate isn't there …
        parser.exit(1, f"can't open the door: {error}\n")


if __name__ == "__main__":
    main()
