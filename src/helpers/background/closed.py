"""How a connection ended, as both sides saw it."""

from __future__ import annotations

from websockets.exceptions import ConnectionClosed


def how_it_ended(closed: ConnectionClosed) -> str:
    """The code and the reason of who closed; 1006 where no close frame came (RFC 6455 §7.1.5).

    `close_code` alone is what was received, so of a close that nobody answered it says only 1006.

    Args:
        closed: what `websockets` makes of the end of a connection.

    Returns:
        Like `4001 (one message is enough)`; both frames where two sides closed at once with different codes.
    """
    received, sent = closed.rcvd, closed.sent
    if received is None and sent is None:
        return "1006 (broken off without a close frame)"
    if received is None:
        assert sent is not None
        reason = f", {sent.reason}" if sent.reason else ""
        return f"1006 (no answer to the close frame {sent.code}{reason})"
    if sent is None or closed.rcvd_then_sent:
        return _in_words(received.code, received.reason)
    if sent.code != received.code:
        return f"{_in_words(received.code, received.reason)}; sent {_in_words(sent.code, sent.reason)}"
    return _in_words(received.code, received.reason or sent.reason)


def _in_words(code: int, reason: str) -> str:
    return f"{code} ({reason})" if reason else f"{code}"
