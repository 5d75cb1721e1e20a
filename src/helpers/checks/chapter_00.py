"""The exercises of `00_start_here`."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from helpers.checks.answer import Answer
from helpers.checks.peers import Peer, serving
from helpers.checks.trial import try_function, try_handler
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.whose import check


@check
def shout(handler: Any) -> Verdict:
    """Check a handler that answers each message with the same text in capitals."""

    async def scenario(url: str, loop: asyncio.AbstractEventLoop) -> str:
        ann, bob = await Peer.join(url), await Peer.join(url)
        for peer, message in ((ann, "hello"), (bob, "is anybody there?"), (ann, "Goodbye")):
            await peer.says(message)
            answer = await peer.hears(f"after `{message}`")
            if answer == "HELLO" and message != "hello":
                raise NotYet(
                    f"after `{message}`: got {shown(answer)}, which belongs to another message",
                    "answer with the text of `message`, and only to the `connection` that it came from",
                )
            if answer != message.upper():
                raise NotYet(
                    f"after `{message}`: got {shown(answer)}, expected `{message.upper()!r}`",
                    "a string has a method `upper()`; send what it returns, and nothing else",
                )
            await peer.hears_nothing(f"after the answer to `{message}`", within=0.05)
        await ann.leaves()
        await bob.says("still here")
        await bob.hears("Ann has left, and Bob says `still here`; then")
        return "each message came back in capitals, to the peer that had sent it"

    return try_handler(handler, scenario)


@check
def ask(function: Any) -> Verdict:
    """Check a client, `async def ask(url, question)`, that sends a question and returns the answer."""

    async def scenario(answer: Answer) -> str:
        heard: list[str | bytes] = []

        async def oracle(connection: ServerConnection) -> None:
            try:
                async for question in connection:
                    heard.append(question)
                    await connection.send(f"the answer to {question!r} is 42")
            except ConnectionClosed:
                pass  # the client left without a close; it is looked at what it returned

        async with serving(oracle) as url:
            for question in ("What is six times seven?", "Are you sure?"):
                heard.clear()
                try:
                    returned = await answer(url, question)
                except NotYet as not_yet:
                    if heard or not_yet.sure:
                        raise
                    raise NotYet(
                        f"{not_yet.verdict.said}, and the server never received a question",
                        "send the question first, with `await connection.send(question)`; "
                        "without `await` nothing is sent",
                    ) from not_yet
                if question not in heard:
                    asked = shown(heard[0]) if heard else "nothing"
                    quotes = "; write it without quotes: it is the parameter" if heard == ["question"] else ""
                    raise NotYet(
                        f"the server heard {asked}, expected `{question!r}`",
                        f"send it with `await connection.send(question)`{quotes}",
                    )
                if inspect.iscoroutine(returned):
                    returned.close()
                    raise NotYet(
                        "`ask` returned a coroutine: something that has not run yet",
                        "write `await` before it, as in `return await connection.recv()`",
                    )
                if returned != f"the answer to {question!r} is 42":
                    raise NotYet(
                        f"`ask` returned {shown(returned)}, the server had answered "
                        f"`{f'the answer to {question!r} is 42'!r}`",
                        "`return` what `await connection.recv()` gives you",
                    )
        return "the server heard both questions, and you returned its answers"

    return try_function(function, scenario, arguments="url, question")
