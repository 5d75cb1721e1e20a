"""tshark reads the same frames and messages as the decoder, from a capture file of the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from conversations import Peers, decode, frames, write_pcap
from websockets.frames import Opcode

from helpers.wire import events
from helpers.wire.events import TO_CLIENT, TO_SERVER


@pytest.fixture(scope="module")
def tshark() -> Callable[[Path, int], ET.Element]:
    program = shutil.which("tshark")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("tshark is needed in CI; install the package tshark")
        pytest.skip("tshark is not installed")

    def read(path: Path, port: int) -> ET.Element:
        command = [
            program,
            "-n",
            "-r",
            str(path),
            "-d",
            f"tcp.port=={port},http",
            "-Y",
            "websocket",
            "-T",
            "pdml",
        ]
        done = subprocess.run(command, capture_output=True, timeout=60, check=True)
        return ET.fromstring(done.stdout)

    return read


def as_tshark_says(frame: events.Frame) -> dict[str, str | None]:
    """The fields of a frame, and what it or the message that ends with it says, in tshark's notation."""
    extended = {7: None, 16: "payload_length_ext_16", 64: "payload_length_ext_64"}[frame.length_form]
    fields: dict[str, str | None] = {
        "fin": str(int(frame.fin)),
        "rsv": f"0x{frame.rsv1 << 2 | frame.rsv2 << 1 | frame.rsv3:02x}",
        "opcode": str(frame.opcode),
        "mask": str(int(frame.mask is not None)),
        "masking_key": frame.mask.hex(":") if frame.mask else None,
        "payload_length": str(frame.length if extended is None else 126 if frame.length_form == 16 else 127),
        "payload_length_ext_16": None,
        "payload_length_ext_64": None,
        "status_code": str(frame.close_code) if frame.close_code else None,
        "reason": frame.close_reason or None,
        "content": None,
    }
    if extended:
        fields[extended] = str(frame.length)
    if frame.message and frame.message.data:
        fields["content"] = frame.message.data.hex()
    elif frame.name in ("ping", "pong") and frame.payload:
        fields["content"] = frame.payload.hex()
    return fields


def tshark_says(packet: ET.Element, proto: ET.Element) -> dict[str, str | None]:
    def show(name: str) -> str | None:
        field = proto.find(f".//field[@name='websocket.{name}']")
        return None if field is None else field.get("show")

    names = ["fin", "rsv", "opcode", "mask", "masking_key", "payload_length"]
    names += ["payload_length_ext_16", "payload_length_ext_64"]
    fields = {name: show(name) for name in names}
    fields["status_code"] = show("payload.close.status_code")
    fields["reason"] = show("payload.close.reason")
    content = next(
        (
            field.get("value")
            for name in ("text", "ping", "pong", "unknown")
            if (field := proto.find(f".//field[@name='websocket.payload.{name}']")) is not None
        ),
        None,
    )
    if content is None:  # binary messages are shown by the dissector for data
        data = packet.find("proto[@name='data']/field[@name='data.data']")
        data = packet.find(".//field[@name='data.data']") if data is None else data
        content = None if data is None else data.get("value")
    fields["content"] = content
    return fields


@pytest.mark.parametrize(
    "deflate",
    [
        {},
        {"client_max_window_bits": True},
        {
            "client_max_window_bits": 10,
            "server_no_context_takeover": True,
            "client_no_context_takeover": True,
        },
    ],
    ids=["plain", "deflate", "no context takeover"],
)
def test_tshark_reads_the_same(
    tshark: Callable[[Path, int], ET.Element], tmp_path: Path, deflate: dict[str, int | bool]
) -> None:
    peers = Peers(**deflate)
    for direction in (TO_SERVER, TO_CLIENT):
        for size in (1, 125, 126, 65535, 65536):
            peers.send(direction, Opcode.BINARY, (b"%d bytes " % size * size)[:size])
        peers.send(direction, Opcode.TEXT, "Grüße".encode())
        if not deflate:  # tshark 4.0 does not inflate fragmented messages
            peers.send(direction, Opcode.TEXT, b"Hel", fin=False)
            peers.send(direction, Opcode.CONT, b"lo")
        peers.send(direction, Opcode.PING, b"are you there?")
        peers.send(direction, Opcode.TEXT, b"Hello")
    peers.client.send_close(4001, "Tschüß")
    peers.move()
    path = tmp_path / "talk.pcap"
    write_pcap(path, peers.said, 8765)
    theirs = [
        tshark_says(packet, proto)
        for packet in tshark(path, 8765).findall("packet")
        for proto in packet.findall("proto[@name='websocket']")
    ]
    ours = [as_tshark_says(frame) for frame in frames(decode(peers.said, keep=1 << 20))]
    assert len(ours) == (20 if deflate else 24)
    assert theirs == ours
