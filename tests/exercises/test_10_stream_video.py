"""The exercises of `10_stream_video`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from typing import Any, ClassVar

from battery import Computation, Handler
from changes import but


class TestPutNewest(Computation):
    name = "put_newest"
    arguments = "slot, picture"
    given: ClassVar[dict[str, Any]] = {"asyncio": asyncio}
    right: ClassVar = [
        """
        def put_newest(slot, picture):
            left_out = None
            if not slot.empty():
                left_out = slot.get_nowait()
            slot.put_nowait(picture)
            return left_out
        """,
        """
        def put_newest(slot, picture):
            try:
                slot.put_nowait(picture)
            except asyncio.QueueFull:
                left_out = slot.get_nowait()
                slot.put_nowait(picture)
                return left_out
        """,
        """
        def put_newest(slot, picture):
            try:
                left_out = slot.get_nowait()
            except asyncio.QueueEmpty:
                left_out = None
            slot.put_nowait(picture)
            return left_out
        """,
        """
        def put_newest(slot, picture):
            before = [slot.get_nowait() for _ in range(slot.qsize())]
            slot.put_nowait(picture)
            return before[0] if before else None
        """,
        """
        def put_newest(slot, picture):
            match slot.qsize():
                case 0:
                    left_out = None
                case _:
                    left_out = slot.get_nowait()
            return slot.put_nowait(picture) or left_out
        """,
    ]
    wrong: ClassVar = [
        (but("slot.get_nowait() if slot.full() else None", "None"), "QueueFull", "take the old picture out"),
        (
            but("slot.get_nowait() if slot.full() else None", "slot.get_nowait()"),
            "QueueEmpty",
            "the slot was empty",
        ),
        (but("slot.get_nowait() if", "slot.get() if"), "QueueFull"),
        (but("    slot.put_nowait(picture)\n", ""), "the slot held `[]`", "put the new picture in"),
        (but("slot.put_nowait(picture)", "slot.put(picture)"), "the slot held `[]`", "put_nowait"),
        (
            """
            def put_newest(slot, picture):
                slot.put_nowait(picture)
                slot.get_nowait()
            """,
            "the slot held `[]`",
            "leave it in",
        ),
        (but("return left_out", "return picture"), "you returned `'picture 1'`, expected `None`"),
        (but("return left_out", "return left_out is not None"), "you returned `False`, expected `None`"),
        (but("    return left_out\n", ""), "expected `'picture 1'`", "that you took out"),
        (but("slot.full()", "slot.empty()"), "QueueEmpty"),
        (
            but("slot.put_nowait(picture)", "slot.put_nowait(left_out or picture)"),
            "the slot held `['picture 1']`",
            "take the old picture out",
        ),
        (
            """
            def put_newest(slot, picture):
                if slot.full():
                    return picture
                slot.put_nowait(picture)
            """,
            "the slot held `['picture 1']`",
        ),
        (
            """
            def put_newest(slot, picture):
                left_out = slot._queue.pop() if slot._queue else None
                slot._queue.append(picture)
                return left_out
            """,
            "somebody waited in `await slot.get()`",
        ),
    ]


class TestUnpack(Computation):
    name = "unpack"
    arguments = "message"
    given: ClassVar[dict[str, Any]] = {"struct": struct}
    right: ClassVar = [
        """
        LAYOUT = struct.Struct(">BB2xId")

        def unpack(message):
            try:
                return (*LAYOUT.unpack(message[:16]), message[16:])
            except struct.error as error:
                raise ValueError(error) from error
        """,
        """
        def unpack(message):
            if len(message) < 16:
                raise ValueError
            kind, quality, _, number, at = struct.unpack("!BBHId", message[:16])
            return kind, quality, number, at, message[16:]
        """,
        """
        def unpack(message):
            header, rest = message[:16], message[16:]
            if len(header) != 16:
                raise ValueError("too short")
            number = int.from_bytes(header[4:8], "big")
            (at,) = struct.unpack(">d", header[8:])
            return header[0], header[1], number, at, rest
        """,
        """
        def unpack(message):
            view = memoryview(message)
            if view.nbytes < 16:
                raise UnicodeError("no header")
            kind, quality, _, _, number, at = struct.unpack_from("!4BId", view)
            return tuple([kind, quality, number, at, bytes(view[16:])])
        """,
        """
        def unpack(message):
            size = struct.calcsize("!BBxxId")
            match message[:size]:
                case header if len(header) == size:
                    return struct.unpack("!BBxxId", header) + (message[size:],)
            raise ValueError(f"{len(message)} bytes")
        """,
    ]
    wrong: ClassVar = [
        (but("message[16:]", "message[16:].strip()"), "as the rest", "after 16 bytes"),
        (but('"!BBxxId"', '"<BBxxId"'), "`(1, 0, 17, ", "big-endian"),
        (but('"!BBxxId"', '"BBxxId"'), "big-endian"),
        (but('"!BBxxId"', '"!BBId"'), "big-endian"),
        (but('"!BBxxId"', '"!BBxxid"'), "`-1` as the number, expected `4294967295`"),
        (but('"!BBxxId"', '"!bbxxId"'), "`-1` as the kind, expected `255`"),
        (but('"!BBxxId"', '"!BBxxIf"'), "a float of 8 bytes"),
        (but('"!BBxxId"', '"!BBBBId"'), "a tuple of five"),
        (but("return *", "return ", ", message[16:]", ""), "a tuple of five"),
        (but("message[16:]", "message"), "the rest begins after 16 bytes"),
        (but("message[16:]", "message[17:]"), "the rest begins after 16 bytes"),
        (
            but("    if len(message) < 16:\n", "    if not message:\n"),
            "a message of 1 bytes",
            "raised struct.error: unpack_from",
        ),
        (but("< 16", "<= 16"), "a message of 16 bytes", "raised ValueError", "a whole header"),
        (but("unpack_from(", "unpack("), "a message of 24 bytes", "raised struct.error", "unpack_from"),
        (but("< 16", "< 15"), "a message of 15 bytes", "raised struct.error: unpack_from"),
        (but("raise ValueError(", "return print("), "a message of 0 bytes", "you returned `None`"),
        (but("raise ValueError(", "raise TypeError("), "TypeError", "`raise ValueError`"),
        (but("return *", "return [*", "message[16:]", "message[16:]]"), "a tuple of five"),
    ]


class TestReceive(Handler):
    name = "receive"
    given: ClassVar[dict[str, Any]] = {"asyncio": asyncio, "hashlib": hashlib, "json": json}

    @classmethod
    def fresh(cls) -> dict[str, Any]:
        """The files of one reader."""
        return {**cls.given, "files": {}}

    right: ClassVar = [
        """
        files = {}

        async def receive(connection):
            file = json.loads(await connection.recv())
            name, size = file["name"], file["size"]
            if name not in files:
                files[name] = bytearray()
            while True:
                await connection.send(f"{len(files[name])}")
                if len(files[name]) >= size:
                    break
                files[name] += await connection.recv()
            if hashlib.sha256(files[name]).hexdigest() == file["sha256"]:
                await connection.send("whole")
            else:
                files.pop(name)
                await connection.send("broken")
        """,
        """
        files = {}

        async def receive(connection):
            file = json.loads(await connection.recv())
            have = files.get(file["name"], b"")
            await connection.send(str(len(have)))
            if len(have) < file["size"]:
                async for chunk in connection:
                    have = files[file["name"]] = have + chunk
                    await connection.send(str(len(have)))
                    if len(have) == file["size"]:
                        break
            whole = hashlib.sha256(have).hexdigest() == file["sha256"]
            if not whole:
                files[file["name"]] = b""
            await connection.send({True: "whole", False: "broken"}[whole])
        """,
        """
        chunks = {}

        async def receive(connection):
            name, size, sha256 = json.loads(await connection.recv()).values()
            mine = chunks.setdefault(name, [])
            length = sum(map(len, mine))
            await connection.send(str(length))
            while length != size:
                mine.append(await connection.recv())
                length = sum(map(len, mine))
                await connection.send(str(length))
            checksum = hashlib.sha256()
            for chunk in mine:
                checksum.update(chunk)
            if checksum.hexdigest() != sha256:
                mine.clear()
                await connection.send("broken")
                return
            await connection.send("whole")
        """,
        """
        class File:
            every = {}

            def __init__(self):
                self.content = bytearray()

            async def fill(self, connection, size):
                await connection.send(str(len(self.content)))
                while len(self.content) < size:
                    self.content.extend(await connection.recv())
                    await connection.send(str(len(self.content)))

        async def receive(connection):
            said = json.loads(await connection.recv())
            file = File.every.setdefault(said["name"], File())
            await file.fill(connection, said["size"])
            if hashlib.new("sha256", file.content).hexdigest() == said["sha256"]:
                return await connection.send("whole")
            del File.every[said["name"]]
            await connection.send("broken")
        """,
        """
        import collections

        files = collections.defaultdict(bytearray)

        async def receive(connection):
            file = json.loads(await connection.recv())
            content = files[file["name"]]
            try:
                while True:
                    await connection.send(str(len(content)))
                    if len(content) == file["size"]:
                        break
                    content.extend(await connection.recv())
            finally:
                right = hashlib.sha256(content).hexdigest() == file["sha256"]
            await connection.send("whole" if right else "broken")
            if not right:
                content.clear()
        """,
    ]
    wrong: ClassVar = [
        (but('del files[file["name"]]', "files.clear()"), "another file was broken", "keep what has come"),
        (
            but("extend(await connection.recv())", "extend((await connection.recv()).strip())"),
            "20 bytes",
            "after each chunk",
        ),
        (
            but('while len(content) < file["size"]', 'while not content or len(content) < file["size"]'),
            "a file of 0 bytes",
            "stop reading",
        ),
        (
            but("send(str(len(content)))\n    while", 'send(str(file["size"]))\n    while'),
            "the first upload",
            "`send` the number",
        ),
        (
            but('files.setdefault(file["name"], bytearray())', "bytearray()"),
            "20 of 50 bytes",
            "keep what has come",
        ),
        (but('file["name"], bytearray()', '"file", bytearray()'), "another file", "under its name"),
        (
            but("    await connection.send(str(len(content)))\n    while", "    while"),
            "the first upload of a file",
            "nothing came",
        ),
        (
            but(
                "    await connection.send(str(len(content)))\n    while",
                '    await connection.send("ok")\n    while',
            ),
            "you answered `'ok'`, expected `'0'`",
        ),
        (
            but("recv())\n        await connection.send(str(len(content)))\n", "recv())\n"),
            "the first chunk of 20 bytes",
            "nothing came",
        ),
        (
            but(
                "content.extend(await connection.recv())\n        await connection.send(str(len(content)))",
                "chunk = await connection.recv()\n        content.extend(chunk)\n"
                "        await connection.send(str(len(chunk)))",
            ),
            "29 more bytes",
            "all connections together",
        ),
        (
            but('< file["size"]', '<= file["size"]'),
            "after all 5 bytes of a file",
            "nothing came",
            "stop reading",
        ),
        (
            but(
                'while len(content) < file["size"]:\n        content.extend(await connection.recv())',
                "async for chunk in connection:\n        content.extend(chunk)",
            ),
            "after all 5 bytes of a file",
            "stop reading",
        ),
        (
            but('< file["size"]', '< file["size"] - 1'),
            "the last byte",
            "you answered `'broken'`, expected `'50'`",
        ),
        (
            but('        del files[file["name"]]\n', "        pass\n"),
            "announced again",
            "forget a broken file",
        ),
        (but('"whole" if right else "broken"', '"broken" if right else "whole"'), "you sent `'broken'`"),
        (but('"whole" if right else "broken"', '"whole"'), "its checksum is wrong", "expected `'broken'`"),
        (but("sha256(content)", "sha1(content)"), "you sent `'broken'`, expected `'whole'`"),
        (but("        content.extend(", "        content[:] = ("), "29 more bytes"),
        (
            but('files.setdefault(file["name"], bytearray())', 'files[file["name"]] = bytearray()'),
            "20 of 50 bytes",
            "keep what has come",
        ),
    ]
