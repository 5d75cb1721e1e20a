"""A tap on the background loop, started and stopped like a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Unpack

from helpers.arguments import address
from helpers.background.held_loop import HeldLoop
from helpers.background.lifetime import Background, BackgroundError
from helpers.readers_code import in_words
from helpers.wire.events import Direction, Event
from helpers.wire.link import Shape
from helpers.wire.tap import HasUrl, ShapeOptions, Tap, TapOptions, TapStats


def tapped(server: str | HasUrl, *, name: str | None = None, **options: Unpack[TapOptions]) -> BackgroundTap:
    """Put a tap in front of a server, on the background loop.

        tap = tapped(server, delay=0.02).start()
        ann = ClientPanel("Ann", tap.url)
        tap.stop()

    It works in a `with` block as well. Where the server and its clients are on the background
    loop too, the tap costs them little time.

    Args:
        server: a `ws://` or `http://` address on this machine, or a server that has a `url`.
        name: what the tap is called in messages; after its server by default.
        **options: every option of `helpers.wire.tap.Tap`, such as `delay` (one way, in seconds).

    Returns:
        The tap, not started yet.
    """
    return BackgroundTap(server, name=name, **options)


class BackgroundTap(Background):
    """A `helpers.wire.tap.Tap` on the background loop; `tapped` makes it.

    Started with `start()`, it is known by its name, like a `BackgroundServer`: starting another of that
    name (you run the cell again) stops the first and takes over its port. After the stop, `events()` and
    `stats` still say what was seen.
    """

    def __init__(
        self, server: str | HasUrl, *, name: str | None = None, **options: Unpack[TapOptions]
    ) -> None:
        known = isinstance(server, str) or not hasattr(type(server), "url")  # a server may not run yet
        port = options.get("listen_port", 0)
        Tap.before(address(server) if known else "ws://127.0.0.1", **options)  # refuses what makes no sense
        super().__init__(name or f"tap of {getattr(server, 'name', server)}", "127.0.0.1", port)
        self._server = server
        self._options = options
        self._tap: Tap | None = None
        self._loop: HeldLoop | None = None

    @property
    def stats(self) -> TapStats:
        """Connections, bytes and segments since the start."""
        return self._started_tap.stats

    def events(self) -> list[Event]:
        """What was seen since the start, oldest first; see `helpers.wire.tap.Tap.events`."""
        return self._started_tap.events()

    def listen(self, callback: Callable[[list[Event]], None], *, past: bool = False) -> Callable[[], None]:
        """Call a function with new events, on the background thread; see `helpers.wire.tap.Tap.listen`."""
        return self._started_tap.listen(callback, past=past)

    def tell(self) -> None:
        """Tell the listeners now what has been recorded; see `helpers.wire.tap.Tap.tell`."""
        self._started_tap.tell()

    def shape(self, **changes: Unpack[ShapeOptions]) -> Shape:
        """Change how the link behaves, from now on; see `helpers.wire.link.Shape`."""
        return self._started_tap.shape(**changes)

    def cut(self, how: Literal["rst", "fin"] = "rst") -> None:
        """Cut all open connections now, with a reset or with an orderly end."""
        self._started_tap.cut(how)

    def stall(self, direction: Direction | None = None) -> None:
        """Stop carrying, in one direction or in both, until `resume()`."""
        self._started_tap.stall(direction)

    def resume(self) -> None:
        """Carry on where `stall()` has stopped; nothing is lost."""
        self._started_tap.resume()

    @property
    def _started_tap(self) -> Tap:
        if self._tap is None:
            raise BackgroundError(f"{self.name!r} is not running: run the cell that starts it or .start() it")
        return self._tap

    @property
    def address(self) -> str:
        return self._tap.url if self._tap else super().address

    @property
    def behind(self) -> Background:
        return self._server if isinstance(self._server, Background) else self

    def _start(self) -> None:
        self._loop = HeldLoop(self._journal)
        options = self._options.copy()
        options["listen_port"] = self.port
        try:
            tap = Tap.before(self._server, **options)
            self._loop.call(tap.start(or_any_port=not self._fixed_port), timeout=10)
        except OSError as error:
            self._loop.let_go()
            raise self._port_error(error) from None
        except BaseException:
            self._loop.let_go()
            raise
        self._tap = tap
        self.port = tap.port

    def _stop(self, reason: str, seconds: float | None) -> None:
        assert self._loop is not None
        try:
            self._loop.end(self._started_tap.aclose(), timeout=4)
        except Exception as error:  # what a listener raised
            self._journal.say(f"a listener failed: {in_words(error)}")
            self._journal.fail(error)
