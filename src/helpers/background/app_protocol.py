"""uvicorn's WebSocket protocol, with its refusals in the app's log, and none that is never sent."""

from __future__ import annotations

from asyncio.transports import BaseTransport

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Response

from helpers.background.journal import Refusal, served_here
from helpers.background.serving import with_causes


class TellingProtocol(WebSocketsSansIOProtocol):
    """uvicorn's default, which says whom it refuses, and why.

    To a handshake that `websockets` can't read, such as one with a line that is too long, uvicorn (0.54)
    writes no answer, and it doesn't close the connection either.
    """

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        answer = self.conn.send_response

        def tell(response: Response) -> None:
            if response.status_code != 101:
                words = bytes(response.body).decode("utf-8", "replace").strip().partition("\n")[0]
                self._say(
                    f" ({response.status_code} {response.reason_phrase})" + (f": {words}" if words else "")
                )
            answer(response)

        self.conn.send_response = tell  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        wrong = self.conn.handshake_exc
        if wrong is not None and not self.handshake_initiated:
            answer = b"".join(self.conn.data_to_send())
            if not answer:
                self._say(with_causes(wrong))
            self.transport.write(answer)
            self.transport.close()

    def _say(self, why: str) -> None:
        journal = served_here.get(None)
        if journal is not None:
            journal.say(Refusal.because(why))
