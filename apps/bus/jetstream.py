"""The bus on NATS: each channel is a JetStream. Source: https://docs.nats.io/nats-concepts/jetstream"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext, api, errors

from apps.bus.bus import ANSWER_SECONDS, KEPT, Bus

ONCE: Any = {"allow_reconnect": False, "max_reconnect_attempts": 1, "reconnect_time_wait": 0.1}


class Nats(Bus):
    """The client's own reconnecting is off, because it would send later what was refused."""

    errors = (nats.errors.Error, *Bus.errors)

    def __init__(self, url: str, keep: int) -> None:
        super().__init__(url, keep)
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def _jetstream(self) -> JetStreamContext:
        async with self._connecting:
            if not self._client or not self._client.is_connected:
                await self._close()
                self._client = Client()
                await self._client.connect(self.url, self._failed, ping_interval=1, **ONCE)
        return self._client.jetstream(timeout=ANSWER_SECONDS)

    async def _failed(self, error: Exception) -> None:
        """Do nothing: it is raised as well."""

    async def _append(self, channel: str, entry: str) -> int:
        jetstream = await self._jetstream()
        with contextlib.suppress(errors.NoStreamResponseError):
            return (await jetstream.publish(f"bus-{channel}", entry.encode())).seq
        await self._last(channel)  # begins the stream: there was none yet, or the engine has lost it
        return (await jetstream.publish(f"bus-{channel}", entry.encode())).seq

    async def _last(self, channel: str) -> int:
        jetstream = await self._jetstream()
        info = await jetstream.add_stream(name=f"bus-{channel}", subjects=[f"bus-{channel}"], max_msgs=KEPT)
        return info.state.last_seq

    async def _follow(self, channel: str, position: int) -> AsyncGenerator[tuple[int, str]]:
        name, start, no_acks = f"bus-{channel}", api.DeliverPolicy.BY_START_SEQUENCE, api.AckPolicy.NONE
        config = api.ConsumerConfig(deliver_policy=start, opt_start_seq=position + 1, ack_policy=no_acks)
        came = await (await self._jetstream()).subscribe(name, stream=name, config=config)
        try:
            message = await came.next_msg(timeout=None)
            position = message.metadata.sequence.stream
            while message.metadata.sequence.stream == position:  # else some came too fast, and were dropped
                yield position, message.data.decode()
                message, position = await came.next_msg(timeout=None), position + 1
        finally:
            with contextlib.suppress(*self.errors):
                await came.unsubscribe()

    async def _close(self) -> None:
        if self._client:
            await self._client.close()
