"""One call in a process of its own, for a cell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from helpers.background.child import Child

if TYPE_CHECKING:
    from helpers.background.parent import Parent


async def apart(
    function: Callable[..., Any], *args: Any, progress: Callable[..., object] | None = None
) -> Any:
    """Run a function in a child process, and return what it returns.

        answer = await apart(count_to, 1_000_000)
        pages = await apart(fetch_all, urls, progress=print)

    The child is a Python of its own: nothing in the kernel slows it down, and it slows nothing in the
    kernel down but by using a core. The function is copied there with what it refers to, as it is now. The
    child ends with the cell: when the cell is interrupted, it is killed.

    Args:
        function: plain or `async def`.
        *args: for the function.
        progress: is called here, in order, with what the function passes to its own argument
            `progress=`, which it gets only if this is given.

    Returns:
        What the function returns, as a copy.

    Raises:
        Exception: what the function raises. Notes name its line, and what the function printed.
        BackgroundError: the function, or one of its arguments, can't be copied, or its process has ended by
            itself; with its last words.
    """
    if not callable(function):
        if asyncio.iscoroutine(function):
            function.close()
        raise TypeError(
            f"write apart(function, argument), as the call is made in the child, not {function!r}"
        )
    async with Child(_call, function, args, progress is not None) as child:
        async for what in child.reports():
            assert progress is not None
            progress(*what)
        return await asyncio.wrap_future(child.result)


def _call(parent: Parent, function: Callable[..., Any], args: tuple[Any, ...], tells: bool) -> Any:
    if not tells:
        return function(*args)
    return function(*args, progress=lambda *what: parent.report(what))
