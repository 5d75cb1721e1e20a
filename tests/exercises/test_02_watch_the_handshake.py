"""The exercises of `02_watch_the_handshake`: right answers, and what is said to the wrong ones."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import ClassVar

from battery import Choice, Computation, Thorough
from changes import but

GIVEN = {
    "base64": base64,
    "hashlib": hashlib,
    "struct": struct,
    "GUID": "258EAFA5-E914-47DA-95CA-C5AB0DC85B11",
}


class TestAcceptKey(Thorough, Computation):
    name = "accept_key"
    arguments = "key"
    given = GIVEN
    right: ClassVar = [
        """
        def accept_key(key):
            hashed = hashlib.new("sha1")
            hashed.update(key.encode("ascii"))
            hashed.update(GUID.encode("ascii"))
            return str(base64.standard_b64encode(hashed.digest()), "ascii")
        """,
        """
        import binascii

        def accept_key(key):
            return binascii.b2a_base64(hashlib.sha1(f"{key}{GUID}".encode()).digest(), newline=False).decode()
        """,
        """
        from websockets.utils import accept_key
        """,
        """
        def accept_key(key):
            joined = b"".join([key.encode(), GUID.encode()])
            return base64.encodebytes(hashlib.sha1(joined).digest()).decode().strip()
        """,
        """
        digest = lambda key: hashlib.sha1((key + GUID).encode()).digest()
        accept_key = lambda key: base64.b64encode(digest(key)).decode("ascii")
        """,
    ]
    wrong: ClassVar = [
        (
            but(".digest()", ".hexdigest()", "base64.b64encode(digest).decode()", "digest"),
            "for the key `dGhlIHNhbXBsZSBub25jZQ==` you returned `'b37a4f2c",
            "expected `'s3pPLMBiTxaQ9kYGzzhZRbK+xOo='`",
            "`digest()`",
        ),
        (but(".decode()", ""), "you returned bytes, `b's3pPLMBiTxaQ9kYGzzhZRbK+xOo='`", "`decode()`"),
        (but("(key + GUID)", "key"), "the hash of the key alone", "`key + GUID`"),
        (
            but("(key + GUID).encode()", "base64.b64decode(key) + GUID.encode()"),
            "expected `'s3pPLMBiTxaQ9kYGzzhZRbK+xOo='`",
            "three steps",
        ),
        (
            but("base64.b64encode(digest).decode()", "key"),
            "you returned `'dGhlIHNhbXBsZSBub25jZQ=='`",
            "that is the key itself",
        ),
        (
            but("return base64.b64encode(digest).decode()", "print(base64.b64encode(digest).decode())"),
            "you returned `None`",
            "`return`",
        ),
        (but("(key + GUID).encode()", "key + GUID"), "TypeError", "hashlib.sha1(key + GUID)"),
        (
            """
            def accept_key(key):
                return "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            """,
            "you returned `'s3pPLMBiTxaQ9kYGzzhZRbK+xOo='`, expected",
            "three steps",
        ),
        (but("sha1", "sha256"), "expected `'s3pPLMBiTxaQ9kYGzzhZRbK+xOo='`", "the SHA-1 of that"),
        (but("key + GUID", "GUID + key"), "expected `'s3pPLMBiTxaQ9kYGzzhZRbK+xOo='`", "three steps"),
        (but("b64encode", "urlsafe_b64encode"), "expected"),
    ]


class TestEncode(Computation):
    name = "encode"
    arguments = "text"
    given = GIVEN
    right: ClassVar = [
        """
        def encode(text):
            frame = bytearray(b"\\x81")
            payload = text.encode("utf-8")
            count = len(payload)
            if count > 0xFFFF:
                frame += b"\\x7f" + count.to_bytes(8, "big")
            elif count > 125:
                frame += b"\\x7e" + count.to_bytes(2, "big")
            else:
                frame.append(count)
            return frame + payload
        """,
        """
        from websockets.frames import Frame, Opcode

        def encode(text):
            return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
        """,
        """
        def encode(text):
            payload = text.encode()
            n = len(payload)
            if n < 126:
                return struct.pack("!BB", 129, n) + payload
            if n < 2**16:
                return struct.pack("!BBH", 129, 126, n) + payload
            return struct.pack("!BBQ", 129, 127, n) + payload
        """,
        """
        def encode(text):
            payload = bytes(text, "utf-8")
            for limit, form in ((126, "B"), (65_536, "xH"), (2**63, "xQ")):
                if len(payload) < limit:
                    break
            header = bytearray(struct.pack(f"!B{form}", 0x81, len(payload)))
            if form != "B":
                header[1] = {"xH": 126, "xQ": 127}[form]
            return bytes(header) + payload
        """,
        """
        def encode(text):
            from io import BytesIO
            frame, payload = BytesIO(), text.encode()
            n = len(payload)
            frame.write(bytes([0b1_000_0001]))
            match n:
                case n if n <= 125: frame.write(bytes([n]))
                case n if n <= 65_535: frame.write(bytes([126, n >> 8, n & 255]))
                case _: frame.write(b"\\x7f" + n.to_bytes(8))
            frame.write(payload)
            return frame.getvalue()
        """,
    ]
    wrong: ClassVar = [
        (but("text.encode()", "text.strip().encode()"), "unchanged"),
        (
            """
            def encode(text):
                payload = text.encode()
                return bytes([0x81, len(payload) % 256]) + payload
            """,
            "for 126 times `x` your frame has 128 bytes and begins with `81 7e 78",
            "expected 130 bytes that begin with `81 7e 00 7e`",
            "the second byte is 126",
        ),
        (but("header + payload", "header + text"), "TypeError", "return header + text"),
        (
            but("payload = text.encode()", "payload = text", "header + payload", "header + payload.encode()"),
            "né ",
            "count `payload`, not the characters",
        ),
        (but("!H", "<H"), "begins with `81 7e 7e 00", "two bytes, the most significant one first"),
        (
            but("!Q", "!L"),
            "for 65,536 times `x`",
            "expected 65,546 bytes",
            "in eight, the most significant one first",
        ),
        (
            but("[0x81, len", "[0x01, len"),
            "for `'Hello'` your frame has 7 bytes and begins with `01 05",
            "0x81",
        ),
        (
            """
            def encode(text):
                return text.encode()
            """,
            "for `'Hello'` your frame has 5 bytes",
            "0x81",
        ),
        (
            """
            def encode(text):
                return chr(0x81) + chr(len(text)) + text
            """,
            "you returned `'\\x81\\x05Hello'`",
            "return `bytes`",
        ),
        (but("text.encode()", 'text.encode("latin-1")'), "a frame ends with its payload, unchanged"),
        (but("< 126", "<= 126"), "for 126 times `x`", "the second byte is 126"),
        (but("< 65536", "<= 65536"), "error"),
        (but("[0x81, 127]", "[0x81, 255]"), "for 65,536 times `x`"),
    ]


class TestDecode(Computation):
    name = "decode"
    arguments = "frame"
    given = GIVEN
    right: ClassVar = [
        """
        from itertools import cycle

        def decode(frame):
            first, second, *rest = frame
            mask = rest[:4] if second >= 128 else [0]
            data = rest[4:] if second >= 128 else rest
            return first >= 128, first % 16, bytes(a ^ b for a, b in zip(data, cycle(mask)))
        """,
        """
        def decode(frame):
            masked, length = divmod(frame[1], 128)
            payload = bytearray(frame[-length:]) if length else bytearray()
            if masked:
                for index in range(length):
                    payload[index] ^= frame[2 + index % 4]
            return [frame[0] & 128 == 128, frame[0] & 15, payload]
        """,
        """
        def decode(frame):
            fin = frame[0] >> 7 == 1
            start = 6 if frame[1] >> 7 else 2
            mask = frame[2:6] if frame[1] >> 7 else bytes(4)
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(frame[start:]))
            return fin, frame[0] & 15, payload
        """,
        """
        def decode(frame):
            bits = f"{frame[0]:08b}"
            payload = frame[2:]
            if f"{frame[1]:08b}"[0] == "1":
                mask, payload = frame[2:6], list(frame[6:])
                for i, byte in enumerate(payload):
                    payload[i] = byte ^ mask[i % 4]
            return bits[0] == "1", int(bits[4:], 2), bytes(payload)
        """,
        """
        from websockets.frames import Opcode
        from websockets.utils import apply_mask

        def decode(frame):
            payload = apply_mask(frame[6:], frame[2:6]) if frame[1] & 128 else frame[2:]
            return bool(frame[0] & 128), Opcode(frame[0] & 15), payload
        """,
    ]
    wrong: ClassVar = [
        (but("bool(frame[0] & 0x80)", "frame[0] >> 7"), "fin `1`, expected `True`", "True or False"),
        (but("frame[0] & 0x0F", "frame[0] & 0x7F"), "opcode `66`, expected `2`", "last four bits"),
        (but("payload = frame[2:]\n", "payload = frame[2:].strip()\n"), "payload", "unchanged"),
        (
            """
            def decode(frame):
                return bool(frame[0] & 0x80), frame[0] & 0x0F, frame[2:]
            """,
            "for `81 85",
            "you found payload",
            "expected `b'Hello'`",
            "`frame[2:6]`",
        ),
        (
            """
            def decode(frame):
                mask = frame[2:6]
                payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(frame[6:]))
                return bool(frame[0] & 0x80), frame[0] & 0x0F, payload
            """,
            "for `81 05 48 65 6c 6c 6f`",
            "not masked",
            "`frame[2:]`",
        ),
        (but("frame[0] & 0x0F", "frame[0]"), "you found opcode `129`, expected `1`", "last four bits"),
        (
            but("bool(frame[0] & 0x80)", "frame[0] & 0x80"),
            "you found fin `128`, expected `True`",
            "`bool(",
        ),
        (but("bool(frame[0] & 0x80)", "True"), "you found fin `True`, expected `False`", "first bit"),
        (but("bool(frame[0] & 0x80), ", ""), "`decode` returned `(1, b'Hello')`", "return three things"),
        (
            """
            def decode(frame):
                return True, 1, frame[2:].decode()
            """,
            "you found payload `'Hello'`, expected `b'Hello'`",
        ),
        (but("mask[index % 4]", "mask[index]"), "IndexError", "mask[index]"),
        (but("enumerate(payload))", "enumerate(payload)).strip()"), "you found payload"),
        (but("% 4", "% 3"), "you found payload", "`frame[2:6]`"),
        (but("0x0F", "0x07"), "you found opcode"),
        (but("frame[0] & 0x80", "frame[1] & 0x80"), "you found fin"),
    ]


class TestFaults(Choice):
    name = "faults"
    chosen: ClassVar = {"A": "not masked", "B": "reserved bit set", "C": "invalid UTF-8"}
    given: ClassVar = {"chosen": chosen}
    right: ClassVar = [
        "faults = {'C': 'invalid UTF-8', 'B': 'reserved bit set', 'A': 'not masked'}",
        "faults = dict(A='not masked', B='reserved bit set', C='invalid UTF-8')",
        "faults = dict(zip('ABC', ['not masked', 'reserved bit set', 'invalid UTF-8']))",
        "faults = {**chosen}",
        "faults = {}\nfor name, rule in chosen.items():\n    faults[name] = rule",
    ]
    wrong: ClassVar = [
        (
            "faults = {**chosen, 'A': 'unknown opcode'}",
            "A: another rule was broken there",
            "the second byte in binary",
        ),
        (
            "faults = {**chosen, 'B': 'unknown opcode'}",
            "B: another rule was broken there",
            "three bits that must be 0",
        ),
        (
            "faults = {**chosen, 'C': 'not masked'}",
            "C: another rule was broken there",
            "unmask the payload",
            "`payload.decode()`",
        ),
        (
            "faults = {'A': 'reserved bit set', 'B': 'not masked', 'C': 'invalid UTF-8'}",
            "A and B: another rule was broken there",
        ),
        (
            "faults = {**chosen, 'C': 'invalid utf8'}",
            "for `'C'` you wrote `'invalid utf8'`",
            "`'invalid UTF-8'`",
        ),
        (
            "faults = {'a': 'not masked', 'b': 'reserved bit set', 'c': 'invalid UTF-8'}",
            "`faults` has nothing for `'A'`, `'B'`, `'C'`",
            "keep the keys",
        ),
        ("faults = {**chosen, 'A': 'control frame too long'}", "A: another rule"),
        ("faults = {**chosen, 'B': 'invalid UTF-8'}", "B: another rule"),
        ("faults = {**chosen, 'C': 'unknown opcode'}", "C: another rule"),
        ("faults = dict.fromkeys(chosen, 'not masked')", "B and C: another rule", "begin with B"),
    ]
