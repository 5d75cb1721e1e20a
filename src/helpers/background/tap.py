"""A tap beside the kernel: on the background loop, started and stopped like a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self, Unpack

from helpers.background.lifetime import Background, BackgroundError
from helpers.background.loops import BackgroundLoop, LoopBlockedError, hold_shared_loop
from helpers.readers_code import in_words
from helpers.wire.events import Direction, Event
from helpers.wire.link import Shape
from helpers.wire.tap import HasUrl, ShapeOptions, Tap, TapOptions, TapStats

__all__ = ["BackgroundTap", "tapped"]


def tapped(server: str | HasUrl, *, name: str | None = None, **options: Unpack[TapOptions]) -> BackgroundTap:
    """Put a tap in front of a server, on the background loop.

        tap = tapped(server, delay=0.02).start()
        ann = ClientPanel("Ann", tap.url)
        tap.stop()

    It can stand in a `with` block as well. Where the server and its clients are on the background
    loop too, the tap costs them little time.

    Args:
        server: a `ws://` or `http://` address on this machine, or a server that has a `url`.
        name: what the tap is called in messages; after its server by default.
        **options: every option of `helpers.wire.Tap`, such as `delay` (one way, in seconds).

    Returns:
        The tap, not started yet.
    """
    return BackgroundTap(server, name=name, **options)


class BackgroundTap:
    """A `helpers.wire.Tap` on the background loop; `tapped` makes it.

    Started with `start()`, it is known by its name, like a `BackgroundServer`: starting another of that
    name (you run the cell again) stops the first and takes over its port. After the stop, `events()` and
    `stats` still say what was seen.
    """

    def __init__(
        self, server: str | HasUrl, *, name: str | None = None, **options: Unpack[TapOptions]
    ) -> None:
        self.name = name or f"tap of {getattr(server, 'name', server)}"
        self._keeper = _Keeper(self.name, options.pop("listen_port", 0), server, options)

    @property
    def running(self) -> bool:
        """Whether it has been started and not been stopped."""
        return self._keeper.running

    @property
    def url(self) -> str:
        """The server's address with the tap's port in place of the server's.

        Raises:
            BackgroundError: the tap doesn't run.
        """
        return self._keeper.url

    @property
    def port(self) -> int:
        """The tap's port on 127.0.0.1."""
        return self._keeper.port

    @property
    def stats(self) -> TapStats:
        """Connections, bytes and segments since the start."""
        return self._tap.stats

    def start(self) -> Self:
        """Start, and return when it can be reached. Does nothing if it runs already.

        Raises:
            BackgroundError: it can't start, for example because its server doesn't run.
            ValueError: an option makes no sense.
        """
        self._keeper.start()
        return self

    def stop(self) -> None:
        """Stop listening and cut the connections that are open. Does nothing if it doesn't run.

        Raises:
            HandlerFailedError: a listener failed and nobody has been told yet.
        """
        self._keeper.stop()

    def events(self) -> list[Event]:
        """What was seen since the start, oldest first; see `helpers.wire.Tap.events`."""
        return self._tap.events()

    def listen(self, callback: Callable[[list[Event]], None], *, past: bool = False) -> Callable[[], None]:
        """Have new events told, on the background thread; see `helpers.wire.Tap.listen`."""
        return self._tap.listen(callback, past=past)

    def tell(self) -> None:
        """Tell the listeners now what has been recorded; see `helpers.wire.Tap.tell`."""
        self._tap.tell()

    def shape(self, **changes: Unpack[ShapeOptions]) -> Shape:
        """Change how the link behaves, from now on; see `helpers.wire.Shape`."""
        return self._tap.shape(**changes)

    def cut(self, how: Literal["rst", "fin"] = "rst") -> None:
        """Cut all open connections now, with a reset or with an orderly end."""
        self._tap.cut(how)

    def stall(self, direction: Direction | None = None) -> None:
        """Carry nothing any more, in one direction or in both, until `resume()`."""
        self._tap.stall(direction)

    def resume(self) -> None:
        """Carry on where `stall()` has stopped; nothing is lost."""
        self._tap.resume()

    @property
    def _tap(self) -> Tap:
        if self._keeper.tap is None:
            raise BackgroundError(
                f"{self.name!r} is not running: call .start() first, or use it inside `with`"
            )
        return self._keeper.tap

    def __enter__(self) -> Self:
        self._keeper.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeper.__exit__(kind, error, trace)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._keeper.__aexit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"<BackgroundTap {self.name!r} {f'at {self.url}' if self.running else 'stopped'}>"


class _Keeper(Background):
    """Starts, stops and replaces a tap, as everything in the background."""

    def __init__(self, name: str, port: int, server: str | HasUrl, options: TapOptions) -> None:
        super().__init__(name, "127.0.0.1", port)
        self.tap: Tap | None = None
        self._server = server
        self._options = options
        self._loop: BackgroundLoop | None = None

    @property
    def _address(self) -> str:
        return self.tap.url if self.tap else super()._address

    def _open(self) -> None:
        self._loop = hold_shared_loop(self, self._say, self._trouble)
        try:
            self._listen()
        except OSError as error:
            self._let_go()
            raise self._port_error(error) from None
        except BaseException:
            self._let_go()
            raise

    def _listen(self) -> None:
        ports = [self.port] if self._fixed_port or not self.port else [self.port, 0]
        for port in ports:
            try:
                self.tap = self._start(port)
                break
            except OSError:
                if port == ports[-1]:
                    raise
        assert self.tap is not None
        self.port = self.tap.port

    def _start(self, port: int) -> Tap:
        assert self._loop is not None
        options = self._options.copy()
        options["listen_port"] = port
        tap = Tap.before(self._server, **options)
        self._loop.call(tap.start(), timeout=10)
        return tap

    def _close(self, seconds: float | None) -> None:
        assert self._loop is not None
        assert self.tap is not None
        try:
            self._loop.call(self.tap.aclose(), timeout=4, insist=True)
        except LoopBlockedError as error:
            self._say(str(error))
        except Exception as error:  # what a listener raised
            self._say(f"a listener failed: {in_words(error)}")
            self._fail(error)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.release(self)
