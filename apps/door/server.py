"""The door: who comes in, and what they may do once they are in.

Four ways to say who you are, with the same passes:

    Cookie: door=…                    a browser, whose page has logged in; so its `Origin` is looked at
    Authorization: Bearer …           a program
    ws://…/?ticket=…                  where no header can be set: spent as soon as it is used
    {"type": "enter", "token": "…"}   the first message, within ENTER_SECONDS

`GET /login` with `Authorization: Basic …` gives a session, as a cookie and as text; `GET /ticket`
a ticket.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import secrets
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from http import HTTPStatus
from urllib.parse import parse_qs

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from apps import visitors
from apps.bucket import Bucket
from apps.door import limits
from apps.door.guest import Guest
from apps.door.headers import FILES, from_file, name_and_password, on_one_line, reply, reply_json, token_of
from apps.door.limits import Addresses, Visitor
from apps.door.messages import MESSAGE_BYTES, BadRequest, Enter, Expel, LogOut, Say, read_request
from apps.door.people import People, Right
from apps.door.tickets import Pass, Passes, Refused
from apps.origins import objection
from apps.signals import stopped_by_signals
from apps.visitors import wants_websocket

SESSION_SECONDS = 3600.0
POLICY, RESTART, TRY_LATER = 1008, 1012, 1013  # RFC 6455 §7.4.1, and the registry that it opened

log = logging.getLogger("door")


class Door:
    """Lets people in, and passes on what they say to those who may read it.

        async with Door(people).serving("127.0.0.1", 0) as url:
            ...

    Args:
        people: those who may come in.
        origins: of pages from elsewhere that may connect, such as `https://door.example.org`.
        session_seconds: after which one has to log in again.
        context: a certificate, for https and wss.
    """

    def __init__(
        self,
        people: People,
        *,
        origins: Collection[str] = (),
        session_seconds: float = SESSION_SECONDS,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.people, self.origins, self.context = people, origins, context
        self.session_seconds = session_seconds
        self.passes = Passes(secrets.token_bytes(32))
        self.guests: set[Guest] = set()
        self.addresses = Addresses()
        talk = functools.partial(Bucket, limits.MESSAGES_PER_SECOND, limits.MESSAGES_AT_ONCE)
        tries = functools.partial(Bucket, limits.LOGINS_PER_SECOND, limits.LOGINS_AT_ONCE)
        self._talk: defaultdict[str, Bucket] = defaultdict(talk)
        self._tries: defaultdict[str, Bucket] = defaultdict(tries)
        self._lines = Bucket(limits.LOG_LINES_PER_SECOND, limits.LOG_LINES_AT_ONCE)
        self._unsaid = 0

    # --- serving

    async def run(self, host: str, port: int) -> None:
        """Serve until Ctrl+C or SIGTERM, and print the address."""
        stop = stopped_by_signals()
        async with self.serving(host, port) as url:
            print(f"Door at {url}", flush=True)
            await stop.wait()

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[str]:
        """Serve, in an `async with` block, whose value is the address of the page."""
        async with visitors.serving(
            self.handle,
            host,
            port,
            process_request=self.answer,
            create_connection=functools.partial(Visitor, self.addresses),
            open_timeout=limits.HEAD_SECONDS,
            compression=None,  # lengths give a secret away when a stranger's text is compressed next to it
            max_size=MESSAGE_BYTES,
            server_header=None,
            ssl=self.context,
            ssl_handshake_timeout=limits.HEAD_SECONDS if self.context else None,
            code=RESTART,
            reason="restarting",
        ) as url:
            yield url

    def note(self, connection: Visitor, words: str, *theirs: object) -> None:
        """Write a line into the log; what a stranger sent has little room in it, and makes no second line."""
        if not self._lines.take():
            self._unsaid += 1
            return
        if self._unsaid:
            log.info("(and %d more, too many to write down)", self._unsaid)
            self._unsaid = 0
        log.info("%s " + words, connection.address, *map(on_one_line, theirs))

    # --- before the handshake

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request. None lets a WebSocket in: without a pass it has to say next who it is."""
        assert isinstance(connection, Visitor)
        path, _, query = request.path.partition("?")
        if self.addresses.crowded(connection.address):
            return self._refuse(connection, HTTPStatus.TOO_MANY_REQUESTS, "too many connections")
        if why := objection(request.headers, self.origins):
            return self._refuse(connection, HTTPStatus.FORBIDDEN, why)
        if not wants_websocket(request.headers):
            return await self._page(connection, path, request)
        try:
            if token := parse_qs(query).get("ticket", [""])[0] or token_of(request.headers):
                connection.held = self.read(token)
        except Refused as refused:
            return self._refuse(connection, HTTPStatus.UNAUTHORIZED, str(refused))
        return None

    def read(self, token: str) -> Pass:
        """Return the pass that a token is; a ticket is spent by that.

        Raises:
            Refused: it isn't ours, or not any more.
        """
        held = self.passes.read(token)
        return self.passes.spend(held) if held.is_ticket else held

    def _refuse(self, connection: Visitor, status: HTTPStatus, why: str) -> Response:
        self.note(connection, "was refused: %s", why)
        return reply(status, "text/plain", f"{why}\n".encode())

    async def _page(self, connection: Visitor, path: str, request: Request) -> Response:
        if path in FILES:
            return from_file(path)
        if path == "/login":
            return await self._login(connection, *name_and_password(request.headers))
        if path != "/ticket":
            where = b"Here are /, /login, /ticket and a WebSocket.\n"
            return reply(HTTPStatus.NOT_FOUND, "text/plain", where)
        try:
            session = self.passes.read(token_of(request.headers))
            return reply_json({"ticket": self.passes.text(self.passes.ticket(session))})
        except Refused as refused:
            return self._refuse(connection, HTTPStatus.UNAUTHORIZED, str(refused))

    async def _login(self, connection: Visitor, name: str, password: str) -> Response:
        """Check a password. For a page from elsewhere, the browser would have to ask us first (CORS)."""
        if not self._tries[name if name in self.people else ""].take():  # strangers share one bucket
            return self._refuse(connection, HTTPStatus.TOO_MANY_REQUESTS, "too many tries: wait a little")
        if not await asyncio.to_thread(self.people.knows, name, password):
            return self._refuse(connection, HTTPStatus.FORBIDDEN, "wrong name or password")
        self.note(connection, "logged in as %s", name)
        session = self.passes.session(name, self.session_seconds)
        token = self.passes.text(session)
        response = reply_json({"token": token, "until": session.until})
        secure = "; Secure" if self.context else ""
        cookie = f"door={token}; HttpOnly; SameSite=Strict; Max-Age={self.session_seconds:.0f}{secure}"
        response.headers["Set-Cookie"] = cookie
        return response

    # --- on a connection

    async def handle(self, connection: ServerConnection) -> None:
        """See one connection from its first message to its last."""
        assert isinstance(connection, Visitor)
        with contextlib.suppress(ConnectionClosed):  # it has gone
            try:
                held = connection.held or await self._who_is_it(connection)
            except (Refused, BadRequest, TimeoutError) as error:
                why = str(error) or "say who you are first"
                self.note(connection, "was refused: %s", why)
                await connection.close(POLICY, why)
                return
            if sum(guest.held.who == held.who for guest in self.guests) >= limits.PERSON_CONNECTIONS:
                await connection.close(TRY_LATER, "you have too many connections")
                return
            guest = Guest(connection, held)
            self.guests.add(guest)
            try:
                self.note(connection, "came in as %s", held.who)
                self.welcome(guest)
                await self._listen(guest)
                async for _ in connection:  # nothing is heard any more, until the close has gone through
                    pass
            finally:
                self.guests.discard(guest)
                await guest.end()
                self.note(connection, "left as %s", held.who)

    async def _who_is_it(self, connection: Visitor) -> Pass:
        async with asyncio.timeout(limits.ENTER_SECONDS):
            request = read_request(await connection.recv())
        if not isinstance(request, Enter):
            raise Refused("say who you are first")
        return self.read(request.token)

    async def _listen(self, guest: Guest) -> None:
        """Do what a guest asks for, until they leave, are silent for too long, or their session ends."""
        while not guest.is_closing:
            left = self.passes.seconds_left(guest.held)
            if left <= 0:
                return guest.close(POLICY, "your session has ended")
            try:
                async with asyncio.timeout(min(left, limits.IDLE_SECONDS)):
                    message = await guest.connection.recv()
            except TimeoutError:
                if left > limits.IDLE_SECONDS:
                    return guest.close(POLICY, "you have been silent for too long")
                continue
            try:
                self.take(guest, message)
            except BadRequest as error:
                guest.faults += 1
                guest.tell("error", text=str(error), id=error.id)
            if guest.faults > limits.FAULTS:
                self.note(guest.connection, "made too many errors")
                return guest.close(POLICY, "too many errors")
            await asyncio.sleep(0)  # the messages of a burst come without a pause; others want their turn
        return None

    # --- what guests ask for

    def welcome(self, guest: Guest) -> None:
        """Tell a guest who they are here, for how long, and what they may do."""
        who = guest.held.who
        guest.tell("welcome", who=who, until=guest.held.session_until, rooms=self.people.rooms_of(who))

    def take(self, guest: Guest, message: str | bytes) -> None:
        """Do what one message asks for.

        Raises:
            BadRequest: it isn't a valid request, comes too soon after others, or isn't allowed.
        """
        if not self._talk[guest.held.who].take():
            raise BadRequest("you are too fast")
        match request := read_request(message):
            case Say(room=room, text=text):
                self._need(guest, Right.WRITE, room, request.id)
                for other in self.guests:
                    if self.people.may(other.held.who, Right.READ, room):
                        other.tell("said", room=room, who=guest.held.who, text=text)
            case Expel(room=room, who=who):
                self._need(guest, Right.OWN, room, request.id)
                if not self.people.may(who, Right.READ, room):
                    raise BadRequest(f"there is no {who} here", request.id)
                self.people.expel(who, room)
                self.note(guest.connection, "expelled %s from %s", who, room)
                for other in self.guests:
                    if other is guest or other.held.who == who:
                        other.tell("expelled", room=room, who=who)
                    if other.held.who == who:
                        other.tell("rights", rooms=self.people.rooms_of(who))
            case Enter(token=token):
                self._stay_longer(guest, token, request.id)
            case LogOut():
                self._log_out(guest)

    def _need(self, guest: Guest, right: Right, room: str, id: int | None) -> None:
        """Check a right for each message: what was allowed at the handshake may no longer be."""
        if not self.people.may(guest.held.who, right, room):
            self.note(guest.connection, "may not: %s in %s", right.name, room)
            raise BadRequest("you may not do that in this room", id)

    def _stay_longer(self, guest: Guest, token: str, id: int | None) -> None:
        try:
            held = self.read(token)
        except Refused as refused:
            raise BadRequest(str(refused), id) from None
        if held.who != guest.held.who:
            raise BadRequest("that is somebody else's pass", id)
        guest.held = held
        self.welcome(guest)

    def _log_out(self, guest: Guest) -> None:
        """End the session, on all its connections."""
        self.passes.end_session(guest.held)
        for other in self.guests:
            if other.held.session == guest.held.session:
                other.close(POLICY, "you have logged out")
