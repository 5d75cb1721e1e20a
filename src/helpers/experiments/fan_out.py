"""One message to everybody: how long until the last of many clients has it, with several servers in turn."""

from __future__ import annotations

import html
import statistics
from collections.abc import Iterator, Mapping, Sequence

from helpers.arguments import kind, number
from helpers.background.lifetime import BackgroundError
from helpers.experiments.children.reach_everybody import FanOut, reach_everybody
from helpers.experiments.run import Progress, ignore
from helpers.experiments.servers import Served, ServersRun
from helpers.figures.bars import Bars
from helpers.figures.table import Comparison, Table, in_ms, times
from helpers.sockets import most_files

_OTHER_FILES = 64
"""What a process holds open besides its connections, generously."""

_SAME_ORDER = 4.0


class FanOutWay:
    """What was measured of one server: `way[1000].median`."""

    def __init__(self, name: str, measured: Sequence[FanOut]) -> None:
        self.name = name
        self._measured = {each.clients: each for each in measured}

    def __getitem__(self, clients: int) -> FanOut:
        try:
            return self._measured[clients]
        except KeyError:
            there = ", ".join(f"{count:,}" for count in self._measured)
            raise KeyError(
                f"{self.name!r} was not measured with {clients:,} clients, but with {there}"
            ) from None

    def __iter__(self) -> Iterator[FanOut]:
        return iter(self._measured.values())

    def get(self, clients: int) -> FanOut | None:
        """The same as `way[clients]`; None where it was not measured with so many."""
        return self._measured.get(clients)

    @property
    def whole(self) -> bool:
        """Whether every message reached everybody, with each number of clients."""
        return all(each.whole for each in self)


class FanOutComparison(Comparison[FanOutWay]):
    """What `compare_fan_out` has measured: `print(result.facts())`, `result["gather"][1000].median`."""

    def __init__(
        self, ways: dict[str, FanOutWay], *, messages: int, size: int, against: str, note: str
    ) -> None:
        super().__init__(ways)
        self.messages = messages
        self.size = size
        self.base = against
        self.note = note

    @property
    def clients(self) -> list[int]:
        """With how many clients it was measured."""
        return sorted({each.clients for way in self for each in way})

    def ratio(self, server: str, other: str, clients: int | None = None) -> float:
        """How many times as long a message takes with one server as with another, the median of all messages.

        Args:
            server: the one's name.
            other: the other's name.
            clients: with how many; the most by default.

        Raises:
            ValueError: one of them did not reach everybody.
        """
        clients = max(self.clients) if clients is None else clients
        mine, theirs = self[server][clients], self[other][clients]
        if not (mine.whole and theirs.whole):
            raise ValueError(f"not every message reached all {clients:,} clients, so there is no ratio")
        return statistics.median(a / b for a, b in zip(mine.times, theirs.times, strict=True))

    @property
    def troubles(self) -> list[str]:
        """What went wrong, a sentence each."""
        return [f"{way.name}: {each.trouble}" for way in self for each in way if each.trouble]

    def table(self) -> Table:
        """The times until the last client has a message, and their ratios to the server compared with."""
        columns = [("", "server")]
        for count in self.clients:
            group = f"{count:,} clients"
            columns += [(group, "ms")] if len(self._ways) < 2 else [(group, "ms"), (group, f"× {self.base}")]
        rows = []
        for way in self:
            row = [way.name]
            for count in self.clients:
                each = way.get(count)
                row.append(in_ms(each.median if each else None))
                if len(self._ways) > 1:
                    row.append(times(self._ratio(way, count)))
            rows.append(row)
        return Table(self._caption("the median time until the last client has a message"), columns, rows)

    def counts(self) -> Table:
        """How many clients each message reached: the same on any machine."""
        columns = [("", "server"), *(("reached", f"of {count:,}") for count in self.clients)]
        rows = [
            [way.name, *(f"{each.reached:,}" if each else "–" for each in map(way.get, self.clients))]
            for way in self
        ]
        return Table(self._caption("how many clients each message reached"), columns, rows)

    def facts(self) -> str:
        """What is so on any machine, a line each: who was reached, and whether the times are far apart."""
        lines = []
        for way in self:
            reach = ", ".join(f"{each.reached:,} of {each.clients:,}" for each in way)
            lines.append(f"{way.name}: {'every message' if way.whole else 'a message'} reached {reach}")
        if len(self._ways) > 1 and all(way.whole for way in self):
            most = max(self.clients)
            medians = [statistics.median(way[most].times) for way in self]
            apart = "less" if max(medians) < _SAME_ORDER * min(medians) else "more"
            lines.append(
                f"with {most:,} clients, the slowest takes {apart} than {_SAME_ORDER:g} times "
                "as long as the quickest"
            )
        return "\n".join([*lines, *self.troubles, *([self.note] if self.note else [])])

    def picture(self) -> Bars:
        """The median times, as bars: a group for each number of clients, a colour for each server."""
        groups: dict[str, dict[str, tuple[float | None, str]]] = {}
        for count in self.clients:
            bars = groups[f"{count:,} clients"] = {}
            for way in self:
                each = way.get(count)
                if each is None:
                    bars[way.name] = (None, "–")
                elif each.median is None:
                    bars[way.name] = (None, f"reached {each.reached:,}")
                else:
                    ratio = f", {times(self._ratio(way, count))}" if len(self._ways) > 1 else ""
                    bars[way.name] = (each.median, f"{in_ms(each.median)} ms{ratio}")
        return Bars(groups)

    def _ratio(self, way: FanOutWay, count: int) -> float | None:
        mine, base = way.get(count), self._ways[self.base].get(count)
        whole = mine and base and mine.whole and base.whole
        return self.ratio(way.name, self.base, count) if whole else None

    def _caption(self, what: str) -> str:
        return f"{self.messages} messages of {self.size} bytes for each number of clients: {what}"

    def __repr__(self) -> str:
        return "\n".join([repr(self.table()), *self.troubles, *([self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{html.escape(words)}</p>" for words in (*self.troubles, self.note) if words)
        ratios = (
            f", and × the median of the ratios to {html.escape(self.base)}" if len(self._ways) > 1 else ""
        )
        return (
            f"<p>The median time until the last client has a message{ratios}; each group to its own scale</p>"
            f"{self.picture()._repr_html_()}{self.table()._repr_html_()}{said}"
        )


class FanOutRun(ServersRun[FanOutComparison]):
    """Have one client say something, and take the time until the last of all clients has it.

        result = await compare_fan_out({"one by one": loop, "broadcast()": room}, clients=[10, 100])
        print(result.facts())
        result

    A handler gets a child process of its own; a server that runs, on its own or in another program, is given
    by its address. What a client says must come to all clients, the speaker too, in whatever form. The
    clients are bare sockets in one child process, without compression, so that they take as little of the
    time as can be. The servers take turns, message by message.

    Args:
        served: the servers by their names: `async def handler(connection)`, or `"ws://127.0.0.1:8000/ws"`.
            Each client adds `name=` to the query.
        clients: with how many, one number after another; fewer if the system's limit of open files is low.
        messages: how many are measured with each number of clients.
        size: bytes of each message, 16 to 65,536.
        against: which server the ratios refer to; the last one by default.

    Returns:
        The figures, as a picture, as a table and by name.

    Raises:
        ValueError: an argument makes no sense.
        BackgroundError: a server reached nobody, or it or the clients have failed, and why.
        HandlerFailedError: a handler has failed, with the line that raised.
    """

    def __init__(
        self,
        served: Mapping[str, Served],
        *,
        clients: Sequence[int] = (10, 100, 1000),
        messages: int = 15,
        size: int = 64,
        against: str | None = None,
    ) -> None:
        kind(served, "the servers", Mapping, words="a dict from names to handlers or addresses")
        if not served:
            raise ValueError("there must be at least one server, by its name")
        kind(clients, "clients", Sequence, words="a list of numbers, such as [10, 100]")
        for count in clients:
            number(count, "clients", least=1, most=10_000, whole=True)
        if not clients:
            raise ValueError("clients must be at least one number, 1 to 10,000")
        number(messages, "messages", least=1, most=1_000, whole=True)
        number(size, "size (bytes)", least=16, most=65_536, whole=True)
        if against is not None and against not in served:
            raise ValueError(f"against must be one of {', '.join(map(repr, served))}, not {against!r}")
        super().__init__(served)
        self._clients, self._note = affordable(clients, len(served), most_files())
        self._messages = messages
        self._size = size
        self._against = against or list(served)[-1]

    async def run(self, progress: Progress = ignore) -> FanOutComparison:
        measured = await self._with_servers(
            reach_everybody, self._clients, self._messages, self._size, seconds=600, progress=progress
        )
        for name, (fewest, *_) in measured.items():
            if not fewest.times and (fewest.trouble or not fewest.reached):
                why = fewest.trouble or (
                    f"none of {fewest.clients:,} clients got what one of them said: "
                    "does the server send each message to all of them?"
                )
                raise BackgroundError(f"{name!r}: {why}")
        return FanOutComparison(
            {name: FanOutWay(name, found) for name, found in measured.items()},
            messages=self._messages,
            size=self._size,
            against=self._against,
            note=self._note,
        )


def affordable(clients: Sequence[int], servers: int, files: int) -> tuple[list[int], str]:
    """What of these numbers of clients fits under a limit of open files, and what to say if not all do.

    Args:
        clients: numbers of clients for each server.
        servers: how many servers; the clients of all are in one process.
        files: how many files a process may open.
    """
    most = max(1, (files - _OTHER_FILES) // servers)
    wanted = sorted(set(clients))
    fits = sorted({min(count, most) for count in wanted})
    if fits == wanted:
        return wanted, ""
    return fits, (
        f"this system lets a process open {files:,} files, so each server gets at most {most:,} clients "
        f"instead of {wanted[-1]:,}"
    )
