"""The client's program: takes a plan from the kernel, does it, reports.

python -m helpers.experiments.client
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from helpers.experiments.client_process import Orders, report
from helpers.readers_code import in_words

_PROGRAMS = {
    "requests": "client_requests",
    "push": "client_push",
    "fan-out": "client_fan_out",
    "never reads": "client_never_reads",
}
"""What does a plan's `kind`: a module with `run(plan, report, orders)` and the `FAILURES` it may end with."""


async def follow(run: Any, plan: dict[str, Any], orders: Orders) -> object:
    """Do what the plan says.

    Returns:
        What was measured, as JSON can carry it.

    Raises:
        TimeoutError: it took longer than the plan's `seconds`.
    """
    limit = asyncio.timeout(plan["seconds"])
    try:
        async with limit:
            return await run(plan, report, orders)
    except TimeoutError:
        if limit.expired():
            raise TimeoutError(f"not done after {plan['seconds']:g} s") from None
        raise


def main() -> None:
    """Take one plan and report its result, or in words what went wrong."""
    orders = Orders()
    plan = orders.next()
    program = importlib.import_module(f"helpers.experiments.{_PROGRAMS[plan['kind']]}")
    try:
        result = asyncio.run(follow(program.run, plan, orders))
    except program.FAILURES as error:
        report("failed", in_words(error))
    else:
        report("result", result)


if __name__ == "__main__":
    main()
