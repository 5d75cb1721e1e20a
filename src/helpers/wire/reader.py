"""A byte stream to parse from, one for each direction."""

from __future__ import annotations

from collections.abc import Generator

from websockets.streams import StreamReader


class CountingReader(StreamReader):
    """The stream reader of `websockets`, which also counts and reads whatever there is."""

    def __init__(self) -> None:
        super().__init__()
        self.fed = 0

    @property
    def position(self) -> int:
        """How many bytes have been read."""
        return self.fed - len(self.buffer)

    def feed_data(self, data: bytes | bytearray) -> None:
        super().feed_data(data)
        self.fed += len(data)

    def read_some(self, most: int) -> Generator[None, None, bytes]:
        """Read at least one byte, and at most `most`.

        Raises:
            EOFError: the stream has ended.
        """
        while not self.buffer:
            if self.eof:
                raise EOFError("stream ended")
            yield
        data = bytes(self.buffer[:most])
        del self.buffer[:most]
        return data
