"""Conversations to decode, from the sans-I/O layer of `websockets`, and capture files of them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from helpers.wire.decode import Decoder
from helpers.wire.events import TO_CLIENT, TO_SERVER, Direction, Event, Frame, Violation

Conversation = list[tuple[Direction, bytes]]

Kind = TypeVar("Kind", bound=Event)

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def handshake(extensions: str | None = None, offer: str | None = None) -> Conversation:
    """An opening handshake with the key of RFC 6455 §1.3."""
    asked = offer or (extensions and extensions.partition(";")[0])
    request = "GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    request += f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    response += f"Sec-WebSocket-Accept: {ACCEPT}\r\n"
    if asked:
        request += f"Sec-WebSocket-Extensions: {asked}\r\n"
    if extensions:
        response += f"Sec-WebSocket-Extensions: {extensions}\r\n"
    return [(TO_SERVER, f"{request}\r\n".encode()), (TO_CLIENT, f"{response}\r\n".encode())]


class Peers:
    """A client and a server of `websockets` without sockets; what they say is recorded."""

    def __init__(self, **deflate: Any) -> None:
        offers = [ClientPerMessageDeflateFactory(**deflate)] if deflate else None
        accepts = [ServerPerMessageDeflateFactory()] if deflate else None
        self.client = ClientProtocol(parse_uri("ws://localhost/chat"), extensions=offers, max_size=None)
        self.server = ServerProtocol(extensions=accepts, max_size=None)
        self.said: Conversation = []
        self.client.send_request(self.client.connect())
        self.move()
        (request,) = self.server.events_received()
        assert isinstance(request, Request)
        self.server.send_response(self.server.accept(request))
        self.move()

    def move(self) -> None:
        """Carry everything written to the other side."""
        while True:
            upward = self.client.data_to_send()
            for data in upward:
                if data:
                    self.said.append((TO_SERVER, data))
                    self.server.receive_data(data)
            downward = self.server.data_to_send()
            for data in downward:
                if data:
                    self.said.append((TO_CLIENT, data))
                    self.client.receive_data(data)
            if not any(upward) and not any(downward):
                return

    def send(self, direction: Direction, opcode: Opcode, data: bytes, fin: bool = True) -> None:
        """Send one frame, whatever the order of opcodes, compressed when that was agreed."""
        side = self.client if direction == TO_SERVER else self.server
        side.send_frame(WireFrame(opcode, data, fin))
        self.move()


def decode(
    conversation: Iterable[tuple[Direction, bytes]], *, end: bool = True, **options: int
) -> list[Event]:
    """Decode a whole conversation, everything at time 0."""
    decoder = Decoder(**options)
    events = decoder.open()
    for direction, data in conversation:
        events += decoder.feed(direction, data)
    if end:
        events += decoder.close(TO_SERVER) + decoder.close(TO_CLIENT)
    return events


def only(kind: type[Kind], seen: Iterable[Event]) -> list[Kind]:
    """The events of one kind."""
    return [event for event in seen if isinstance(event, kind)]


def reasons(seen: Iterable[Event]) -> list[str]:
    """What is said of the rules that were broken."""
    return [event.reason for event in only(Violation, seen)]


def frames(events: Iterable[Event]) -> list[Frame]:
    """The frames among events."""
    return only(Frame, events)


def rechunk(conversation: Conversation, cuts: Sequence[int]) -> Conversation:
    """Cut a conversation at other places; neighbours of one direction are joined first."""
    joined: Conversation = []
    for direction, data in conversation:
        if joined and joined[-1][0] == direction:
            joined[-1] = (direction, joined[-1][1] + data)
        else:
            joined.append((direction, data))
    chunks: Conversation = []
    sizes = iter(cuts)
    for direction, data in joined:
        while data:
            size = next(sizes, len(data))
            chunks.append((direction, data[:size]))
            data = data[size:]
    return chunks


def write_pcap(path: Path, conversation: Conversation, port: int) -> None:
    """Write a conversation as a capture file (raw IPv4): SYN, SYN-ACK, the bytes in segments, FIN.

    Format: https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/
    """
    client, server = (bytes([127, 0, 0, 1]), 40000), (bytes([127, 0, 0, 1]), port)
    seq = {TO_SERVER: 1000, TO_CLIENT: 2000}
    fin, syn, push, ack = 1, 2, 8, 16
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
        count = 0

        def packet(direction: Direction, flags: int, data: bytes = b"") -> None:
            nonlocal count
            source, target = (client, server) if direction == TO_SERVER else (server, client)
            back = TO_CLIENT if direction == TO_SERVER else TO_SERVER
            acked = seq[back] if flags & ack else 0
            tcp = struct.pack(
                "!HHIIBBHHH", source[1], target[1], seq[direction], acked, 0x50, flags, 65535, 0, 0
            )
            length = 20 + len(tcp) + len(data)
            ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, count, 0, 64, 6, 0, source[0], target[0])
            file.write(struct.pack("<IIII", count // 1000, count % 1000 * 1000, length, length))
            file.write(ip + tcp + data)
            count += 1
            seq[direction] += len(data) + (1 if flags & (syn | fin) else 0)

        packet(TO_SERVER, syn)
        packet(TO_CLIENT, syn | ack)
        packet(TO_SERVER, ack)
        for direction, data in conversation:
            for start in range(0, len(data), 16000):
                packet(direction, push | ack, data[start : start + 16000])
        packet(TO_SERVER, fin | ack)
        packet(TO_CLIENT, fin | ack)
