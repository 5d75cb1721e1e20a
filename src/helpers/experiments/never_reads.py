"""One client that never reads, among healthy ones: who still hears something, and what the server pays."""

from __future__ import annotations

import dataclasses

from helpers.arguments import number
from helpers.experiments.children.watch_one_mute import watch_one_mute
from helpers.experiments.run import Progress, ignore
from helpers.experiments.servers import Served, ServersRun


@dataclasses.dataclass(frozen=True)
class NeverReads:
    """What `one_never_reads` has seen. Times are in seconds.

    Attributes:
        watched: how long it was watched: while messages were sent, and until the last had come or none came
            any more.
        stalled: whether the healthy clients got nothing any more, though messages were due.
        sent: messages that the speaker, a healthy client, could send.
        got: how many of these each healthy client got.
        silence: the longest time in which a healthy client got nothing.
        gone: healthy clients that the server has disconnected.
        cut_after: when the server dropped the connection that nobody reads; None if it didn't.
        grown: by how many bytes the server's process has grown; None where its process isn't known.
    """

    watched: float
    stalled: bool
    sent: int
    got: tuple[int, ...]
    silence: float
    gone: tuple[str, ...]
    cut_after: float | None
    grown: int | None

    def facts(self) -> str:
        """What is so on any machine, in words."""
        if self.gone:
            heard = "the server disconnected healthy clients"
        elif self.stalled:
            heard = "the healthy clients stopped getting messages"
        elif all(count == self.sent for count in self.got):
            heard = "the healthy clients got every message"
        else:
            heard = "the healthy clients missed messages"
        cut = "was cut" if self.cut_after is not None else "was not cut"
        if self.grown is None:
            cut = "may have been cut: the server's process isn't known"
        return f"{heard}; the one that never reads {cut}"

    def __repr__(self) -> str:
        cut = "not known" if self.grown is None else f"never, watched for {self.watched:.1f} s"
        if self.cut_after is not None:
            cut = f"after {self.cut_after:.1f} s"
        grown = "not known" if self.grown is None else f"{self.grown / 2**20:.1f} MiB"
        rows = [
            (
                "healthy clients got",
                f"{', '.join(f'{count:,}' for count in self.got)} of {self.sent:,} messages",
            ),
            ("the longest silence of one", f"{self.silence:.2f} s"),
            ("the one that never reads was cut", cut),
            ("the server's process grew by", grown),
            *(("a healthy client was disconnected", why) for why in self.gone),
        ]
        wide = max(len(label) for label, _ in rows)
        return "\n".join(f"{label + ':':{wide + 1}} {words}" for label, words in rows)


class NeverReadsRun(ServersRun[NeverReads]):
    """Let one client never read while a healthy one talks, and see who hears it and what it costs the server.

        result = await one_never_reads(room)
        print(result.facts())
        result

    A handler gets a child process of its own; a server that runs is given by its address. What a client says
    must come to all clients, the speaker too, in whatever form. All clients are in another child process. The
    connection of the one that never reads takes in as little as it can, some 0.1 MiB; see `mute`.

    Args:
        server: `async def handler(connection)`, or `"ws://127.0.0.1:8000/ws"`.
        seconds: how long the talk goes on.
        healthy: how many clients read; one of them talks.
        size: characters of each message; a chat may refuse longer ones.
        rate: messages a second.

    Returns:
        What was seen, by name and in words.

    Raises:
        ValueError: an argument makes no sense.
        BackgroundError: healthy clients don't hear each other even without a mute one, or the server or the
            clients have failed, and why.
        HandlerFailedError: the handler has failed, with the line that raised.
    """

    def __init__(
        self, server: Served, *, seconds: float = 3, healthy: int = 3, size: int = 4000, rate: float = 200
    ) -> None:
        number(seconds, "seconds", least=0.5, most=300)
        number(healthy, "healthy (clients)", least=1, most=100, whole=True)
        number(size, "size (bytes)", least=32, most=2**20, whole=True)
        number(rate, "rate (messages per second)", least=1, most=1_000)
        self._name = getattr(server, "__name__", "the server")
        super().__init__({self._name: server})
        self._seconds = seconds
        self._talk = (healthy, size, rate, seconds)

    async def run(self, progress: Progress = ignore) -> NeverReads:
        seen = await self._with_servers(
            watch_one_mute, *self._talk, seconds=self._seconds + 60, progress=progress
        )
        return NeverReads(**seen)
