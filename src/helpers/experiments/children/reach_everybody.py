"""The clients of `compare_fan_out`: many on bare sockets, so that the server's time counts and not theirs."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import secrets
import selectors
import time

from websockets.frames import Opcode

from helpers.background.parent import Parent
from helpers.clients.raw_client import NotOpenedError, RawClient, named
from helpers.figures.table import nearest_rank
from helpers.readers_code import in_words
from helpers.sockets import raise_file_limit

WARM_UPS = 3
"""So many messages may get lost on a client whom the server has not yet taken in."""

LONGEST_SILENCE = 1.0
"""Seconds without a byte from the server after which a message counts as lost."""

LONGEST_WAIT = 10.0
"""Seconds after which it counts as lost although the server says something."""

_AT_A_TIME = 32
"""Handshakes underway with one server: fewer than a listening socket keeps waiting (100 with asyncio)."""


@dataclasses.dataclass(frozen=True)
class FanOut:
    """What was measured of one server with one number of clients.

    Attributes:
        clients: how many were connected; one of them spoke.
        reached: so many got each message; the least of all messages.
        times: from before the sending until the last client had the message, in seconds, one a message.
        trouble: what went wrong, in words; empty if nothing did.
    """

    clients: int
    reached: int
    times: tuple[float, ...] = dataclasses.field(repr=False)
    trouble: str = ""

    @property
    def whole(self) -> bool:
        """Whether every message reached everybody."""
        return not self.trouble and self.reached == self.clients

    @property
    def median(self) -> float | None:
        """The median time until the last client had a message, in seconds; None if not all got it."""
        return nearest_rank(self.times, 0.5) if self.whole else None


class _Listener:
    """One client, and where it is in the stream of frames."""

    __slots__ = ("client", "closed", "heard", "tail")

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.heard = b""
        self.tail = b""
        self.closed: str | None = None

    def whole_frames(self, data: bytes) -> bytes:
        """The frames that have come completely; what is left waits for more.

        Pings are answered, and a close is noticed. The layout: RFC 6455, section 5.2; a server doesn't mask.
        """
        if not self.tail and len(data) > 2 and data[1] < 126 and len(data) == 2 + data[1] and data[0] < 0x88:
            return data  # one small message, as nearly always
        data = self.tail + data
        at = 0
        while len(data) - at >= 2:
            opcode, length, head = data[at] & 15, data[at + 1] & 127, 2
            if length > 125:
                head = 4 if length == 126 else 10
                if len(data) - at < head:
                    break
                length = int.from_bytes(data[at + 2 : at + head])
            end = at + head + length
            if end > len(data):
                break
            if opcode == Opcode.PING:
                self.client.answer_ping(data[at + head : end])
            elif opcode == Opcode.CLOSE:
                code, reason = data[at + head : at + head + 2], data[at + head + 2 : end]
                self.closed = f"{int.from_bytes(code)} {reason.decode(errors='replace')}".strip()
            at = end
        self.tail = data[at:]
        return data[:at]


class Audience:
    """The clients of one server. What one of them says, all are expected to get.

    Args:
        url: the server's address.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._selector = selectors.DefaultSelector()
        self._listeners: list[_Listener] = []
        self._opening: list[RawClient] = []
        self._token = secrets.token_hex(4)
        self._said = 0
        self.closed: list[str] = []
        self.trouble = ""

    def __len__(self) -> int:
        return len(self._listeners)

    def begin(self, count: int) -> None:
        """Send the requests of so many more clients."""
        for number in range(count):
            try:
                self._opening.append(RawClient(named(self._url, f"client-{len(self) + number + 1}")))
            except OSError as error:
                self.trouble = f"{len(self) + number:,} clients are connected, and no more: {error}"
                return

    def complete(self) -> None:
        """Wait until they are connected."""
        opening, self._opening = self._opening, []
        for client in opening:
            try:
                client.complete()
            except NotOpenedError as error:
                self.trouble = f"{len(self):,} clients are connected, and no more: {error}"
                continue
            client.socket.setblocking(False)
            listener = _Listener(client)
            self._selector.register(client.socket, selectors.EVENT_READ, listener)
            self._listeners.append(listener)
        self.settle()

    def settle(self, quiet: float = 0.003, at_most: float = 0.1) -> None:
        """Take in what still comes, until there is a pause."""
        end = time.perf_counter() + at_most
        while time.perf_counter() < end and self._take(b"", quiet) is not None:
            pass

    def tell(self, size: int) -> tuple[int, float]:
        """Have the first client say something, and wait until all have got it.

        Returns:
            How many have got it, and the seconds from before the sending until the last of them had it.
        """
        self._said += 1
        word = f"{self._token}-{self._said:06}".encode()
        left = len(self)
        begin = last = time.perf_counter()
        self._listeners[0].client.say(word.decode().ljust(size, "."))
        while left and time.perf_counter() < begin + LONGEST_WAIT:
            heard = self._take(word, LONGEST_SILENCE)
            if heard is None:
                break
            if heard:
                left -= heard
                last = time.perf_counter()
        return len(self) - left, last - begin

    def _take(self, word: bytes, patience: float) -> int | None:
        """Read once what has come; how many heard the word in it, or None when nothing came."""
        ready = self._selector.select(patience)
        heard = 0
        for key, _ in ready:
            listener: _Listener = key.data
            try:
                data = listener.client.socket.recv(65_536)
                frames = listener.whole_frames(data)
            except OSError as error:
                data, listener.closed = b"", in_words(error)
            if not data or listener.closed is not None:
                self._selector.unregister(key.fileobj)
                self.closed.append(listener.closed or "no close frame")
            elif word and word in frames and listener.heard != word:
                listener.heard = word
                heard += 1
        return heard if ready else None

    def leave(self) -> None:
        """Close all connections."""
        for client in (*self._opening, *(listener.client for listener in self._listeners)):
            client.leave()
        self._selector.close()


class Measurement:
    """What became of one server with one number of clients."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self.clients = len(audience)
        self.reached = self.clients
        self.times: list[float] = []
        self.trouble = audience.trouble

    @property
    def whole(self) -> bool:
        return not self.trouble and self.reached == self.clients

    def warm_up(self, size: int) -> None:
        """The first messages, which a client may miss whom the server has not yet taken in."""
        deadline = time.perf_counter() + LONGEST_WAIT
        for _ in range(WARM_UPS):
            self.reached, _ = self._audience.tell(size)
            if self.reached == self.clients or time.perf_counter() > deadline:
                break
        self._look()

    def measure(self, size: int) -> None:
        reached, seconds = self._audience.tell(size)
        self._audience.settle()
        self.reached = min(self.reached, reached)
        self.times.append(seconds)
        self._look()

    def _look(self) -> None:
        if self._audience.closed:
            closed = self._audience.closed
            self.trouble = f"the server closed {len(closed):,} of {self.clients:,} connections ({closed[0]})"

    def result(self) -> FanOut:
        return FanOut(self.clients, self.reached, tuple(self.times), self.trouble)


def reach_everybody(parent: Parent, counts: list[int], messages: int, size: int) -> dict[str, list[FanOut]]:
    """Measure servers in turn, with few clients first.

    Args:
        parent: gives the servers' addresses, by their names; is told how far it is, and `"done"`; its next
            order lets the clients leave.
        counts: numbers of clients, rising.
        messages: how many are measured with each number.
        size: bytes of each message.

    Returns:
        For each server what was measured with each number of clients, as far as it came.
    """
    raise_file_limit()
    gc.disable()  # a collection among thousands of clients would count as the server's time
    audiences = {name: Audience(url) for name, url in parent.order().result().items()}
    measured: dict[str, list[Measurement]] = {way: [] for way in audiences}
    whole = len(audiences) * sum(count + messages * (10 + count // 10) for count in counts)
    done = 0

    def did(work: int) -> None:
        nonlocal done
        done += work
        parent.report(min(done / whole, 1.0))

    with contextlib.ExitStack() as stack:
        for audience in audiences.values():
            stack.callback(audience.leave)
        for count in counts:
            going = {
                way: audience
                for way, audience in audiences.items()
                if all(measurement.whole for measurement in measured[way])
            }
            fewest = min(map(len, going.values()), default=count)
            for begin in range(fewest, count, _AT_A_TIME):
                for audience in going.values():
                    audience.begin(min(_AT_A_TIME, count - begin))
                for audience in going.values():
                    audience.complete()
                did(_AT_A_TIME * len(going))
            for way, audience in going.items():
                measured[way].append(Measurement(audience))
                if not audience.trouble:
                    measured[way][-1].warm_up(size)
            order = list(going)
            for _ in range(messages):
                order.append(order.pop(0))  # so that none always comes after the same other one
                for way in order:
                    if measured[way][-1].whole:
                        measured[way][-1].measure(size)
                        did(10 + count // 10)
        parent.report("done")
        parent.order().result()
    return {way: [each.result() for each in measurements] for way, measurements in measured.items()}
