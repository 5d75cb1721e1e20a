"""The client's program: takes a plan from the kernel, does it, reports.

python -m helpers.experiments.client
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from helpers.background.places import in_words
from helpers.experiments import client_push, client_requests
from helpers.experiments.client_process import Orders, report


async def follow(plan: dict[str, Any], orders: Orders) -> object:
    """Do what the plan says.

    Returns:
        What was measured, as JSON can carry it.

    Raises:
        TimeoutError: it took longer than the plan's `seconds`.
    """
    run = client_requests.run if plan["kind"] == "requests" else client_push.run
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
    try:
        result = asyncio.run(follow(orders.next(), orders))
    except (aiohttp.ClientError, OSError) as error:
        report("failed", in_words(error))
    else:
        report("result", result)


if __name__ == "__main__":
    main()
