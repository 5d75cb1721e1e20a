"""How a connection ended, as both sides saw it."""

from __future__ import annotations

from websockets.exceptions import ConnectionClosed
from websockets.frames import Close


def how_it_ended(closed: ConnectionClosed) -> str:
    """The code and reason of the side that closed first, and the other's if that was another code.

    `close_code` alone is what was received: 1006 where nobody answered (RFC 6455 §7.1.5).
    """
    received, sent = closed.rcvd, closed.sent
    if received is None:
        answer = (
            f"no answer to the close frame {_in_words(sent, ', {}')}" if sent else "cut without a close frame"
        )
        return f"1006 ({answer})"
    if sent is None or closed.rcvd_then_sent:
        return _in_words(received)
    if sent.code != received.code:
        return f"{_in_words(received)}; sent {_in_words(sent)}"
    return _in_words(received if received.reason else sent)


def _in_words(frame: Close, reason: str = " ({})") -> str:
    return f"{frame.code}{reason.format(frame.reason) if frame.reason else ''}"
