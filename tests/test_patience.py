"""A deadline for the reader's code is one in which the code can run."""

from __future__ import annotations

import asyncio
import time

import pytest

from helpers.checks import trial
from helpers.checks.patience import in_time


def test_while_the_machine_stands_still_little_of_the_deadline_passes() -> None:
    async def stand_still() -> bool:
        loop, answered = asyncio.get_running_loop(), asyncio.Event()
        loop.call_soon(time.sleep, 0.6)
        loop.call_later(0.01, loop.call_later, 0.02, answered.set)  # what has a turn after it needs two
        return await in_time(answered.wait(), 0.3)

    assert asyncio.run(stand_still())


def test_what_is_not_done_in_time_is_cancelled_and_what_it_raises_comes_out() -> None:
    async def wait() -> None:
        late = asyncio.ensure_future(asyncio.Event().wait())
        with pytest.raises(TimeoutError):
            await in_time(late, 0.02)
        assert late.cancelled()
        with pytest.raises(ZeroDivisionError):
            await in_time(fail(), 1)

    async def fail() -> float:
        return 1 / 0

    asyncio.run(wait())


def test_a_trial_is_not_over_while_the_machine_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "DEADLINE", 0.3)

    async def scenario(answer: object) -> str:
        asyncio.get_running_loop().call_soon(time.sleep, 0.6)
        await asyncio.sleep(0.02)
        return "it went on"

    async def echo(text: str) -> str:
        return text

    assert trial.try_function(echo, scenario, arguments="text").right
