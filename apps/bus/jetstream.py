"""The bus on NATS: each channel is a JetStream. Source: https://docs.nats.io/nats-concepts/jetstream"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from nats.aio.client import Client
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NoStreamResponseError

from apps.bus.bus import ANSWER_SECONDS, KEPT, Bus


class NatsBus(Bus):
    """The client's own reconnecting is off, because it would send later what was refused."""

    errors = (Error, APIError, OSError, TimeoutError)

    def __init__(self, url: str, keep: int) -> None:
        super().__init__(url, keep)
        self._client, self._connecting, self._known = Client(), asyncio.Lock(), set[str]()
        self._options: dict[str, Any] = {"allow_reconnect": False, "ping_interval": 1}
        self._options |= {"max_reconnect_attempts": 1, "reconnect_time_wait": 0.1}  # at the start, that is

    async def _jetstream(self) -> JetStreamContext:
        async with self._connecting:
            if not self._client.is_connected:
                client = Client()
                try:
                    await client.connect(self.url, error_cb=self._failed, **self._options)
                except BaseException:
                    await client.close()
                    raise
                self._client = client
        return self._client.jetstream(timeout=ANSWER_SECONDS)

    async def _failed(self, error: Exception) -> None:
        """Do nothing: it is raised as well."""

    async def _append(self, channel: str, entry: str) -> int:
        if channel not in self._known:
            await self._last(channel)
        try:
            jetstream = await self._jetstream()
            return (await jetstream.publish(f"bus-{channel}", entry.encode())).seq
        except NoStreamResponseError:
            self._known.discard(channel)  # the engine has lost it
            raise

    async def _last(self, channel: str) -> int:
        jetstream = await self._jetstream()
        info = await jetstream.add_stream(name=f"bus-{channel}", subjects=[f"bus-{channel}"], max_msgs=KEPT)
        self._known.add(channel)
        return info.state.last_seq

    async def _follow(self, channel: str, position: int) -> AsyncGenerator[tuple[int, str]]:
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=position + 1,
            ack_policy=AckPolicy.NONE,
        )
        jetstream = await self._jetstream()
        came = await jetstream.subscribe(f"bus-{channel}", stream=f"bus-{channel}", config=config)
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
        if self._client.is_connected:
            await self._client.close()
