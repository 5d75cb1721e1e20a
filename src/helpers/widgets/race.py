"""The race: four lanes in which the same events arrive as they really do."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import Any

import anywidget
import traitlets

from helpers.arguments import number
from helpers.background.lifetime import BackgroundError
from helpers.experiments.push import Arrival, PushComparison, PushRun
from helpers.figures.table import in_ms, nearest_rank
from helpers.widgets.scripts import script, style


class Race(anywidget.AnyWidget):
    """A server publishes events at irregular moments; polling, long polling, SSE and WebSocket hear them.

        race = Race()
        race                                 # show it, press Start
        result = await race.run()            # or start it from a cell, and wait for its end

    Server and client are child processes, and each lane has a tap of its own.

    Args:
        events: how many, at most 200.
        **options: every other option of `compare_push`, such as `gap`, `round_trip` and `seed`.

    Raises:
        ValueError: an argument makes no sense.
    """

    _esm = script("race.js")
    _css = style("race.css")
    _view = traitlets.Dict().tag(sync=True)

    def __init__(self, events: int = 20, **options: Any) -> None:
        number(events, "events", least=1, most=200, whole=True)  # more can't be told apart on the page
        self._options = {"events": events, **options}
        self._run = PushRun(**self._options)
        self._done: concurrent.futures.Future[PushComparison] | None = None
        self._lock = threading.Lock()
        super().__init__()
        self._show()
        self.on_msg(lambda widget, content, buffers: self.start())

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._done is not None and not self._done.done()

    @property
    def result(self) -> PushComparison:
        """The figures of the last race that has ended.

        Raises:
            BackgroundError: none has ended yet, or it has failed, and why.
        """
        if self._done is None or not self._done.done():
            raise BackgroundError("the race has not ended: press Start, or write `await race.run()`")
        return self._done.result()

    def start(self) -> None:
        """Start it, and return at once. Does nothing while it runs."""
        with self._lock:
            if self.running:
                return
            self._run = PushRun(**self._options)
            self._done = concurrent.futures.Future()
            threading.Thread(target=self._carry_out, args=(self._done,), name="race", daemon=True).start()

    async def run(self) -> PushComparison:
        """Start it unless it runs, and wait for its end.

        Returns:
            The figures.

        Raises:
            BackgroundError: the server or the client has failed, and why.
        """
        self.start()
        assert self._done is not None
        return await asyncio.shield(asyncio.wrap_future(self._done))

    def close(self) -> None:
        """Break off a race that runs, and take the widget off the page."""
        run = getattr(self, "_run", None)  # ipywidgets closes a widget whose construction failed, too
        if run is not None:
            run.stop()
        super().close()

    def _carry_out(self, done: concurrent.futures.Future[PushComparison]) -> None:
        self._show()
        try:
            result = asyncio.run(self._run.run(lambda share: self._show()))
        except Exception as error:
            done.set_exception(error)
        else:
            done.set_result(result)
        self._show()

    def _show(self) -> None:
        run, arrivals = self._run, self._run.arrivals
        published = {arrival.number: arrival.published for heard in arrivals.values() for arrival in heard}
        lanes = [
            {
                "name": way,
                "dots": [[round(arrival.published, 4), round(arrival.arrived, 4)] for arrival in heard],
                "words": self._words(way, heard),
            }
            for way, heard in arrivals.items()
        ]
        state, words = self._state()
        self._view = {
            "state": state,
            "words": words,
            "caption": run.caption,
            "length": run.moments[-1] - run.moments[0] + run.poll_every + run.round_trip,
            "now": run.now,
            "published": [round(moment, 4) for moment in sorted(published.values())],
            "lanes": lanes,
        }

    def _state(self) -> tuple[str, str]:
        if self._done is None:
            return "ready", "not started"
        if not self._done.done():
            return "running", "running"
        error = self._done.exception()
        if error is not None:
            return "failed", str(error)
        result = self._done.result()
        lost = sum(way.lost for way in result)
        overtaken = sum(way.overtaken for way in result)
        return "done", f"done: {lost or 'no'} events lost, {overtaken or 'none'} out of order"

    def _words(self, way: str, heard: list[Arrival]) -> str:
        count = f"{len(heard)} of {len(self._run.moments)}"
        if not heard:
            return count
        return f"{count}, median {in_ms(nearest_rank([arrival.delay for arrival in heard], 0.5))} ms"

    def __repr__(self) -> str:
        state, words = self._state()
        if state == "done":
            return f"Race: {words}\n{self.result.table()}"
        wide = max(map(len, self._run.ways))
        lines = [f"{way:{wide}}  {self._words(way, heard)}" for way, heard in self._run.arrivals.items()]
        return "\n".join([f"Race: {words}", *lines])
