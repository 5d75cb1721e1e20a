"""The exercises of `00_start_here`."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from helpers.checks.answer import Answer
from helpers.checks.chance import a_sentence, a_word
from helpers.checks.peers import SEND_IT, Peer, serving
from helpers.checks.trial import try_function, try_handler
from helpers.checks.verdict import NotYet, Verdict, shown
from helpers.checks.watched import Watch
from helpers.checks.whose import check

EMPTY = "an empty string is a message, too, and has an answer: an empty string"
AS_IT_IS = "leave the spaces and the line ends as they are"
INSIDE = "`recv` inside the `async with`: at its end the connection closes, and what comes later is lost"
RETURN_IT = "`return` what `await connection.recv()` gives you"
SEND_FIRST = (
    "send the question first, with `await connection.send(question)`; without `await` nothing is sent"
)


@check
def shout(handler: Any) -> Verdict:
    """Check a handler that answers each message with the same text in capitals."""

    async def scenario(url: str, watch: Watch) -> str:
        ann, bob = await Peer.join(url), await Peer.join(url)
        for peer, message in (
            (ann, "hello"),
            (bob, "is anybody there?"),
            (ann, "Goodbye"),
            (bob, ""),
            (ann, " two\nlines "),
            *((peer, a_sentence()) for peer in (bob, bob, ann)),
        ):
            await peer.says(message)
            answer = await peer.hears(f"after `{message}`", hint=SEND_IT if message else EMPTY)
            if answer == "HELLO" and message != "hello":
                raise NotYet(
                    f"after `{message}`: got {shown(answer)}, which belongs to another message",
                    "answer with the text of `message`, and only to the `connection` that it came from",
                )
            if answer != message.upper():
                raise NotYet(
                    f"after `{message}`: got {shown(answer)}, expected `{message.upper()!r}`",
                    "send the string itself: what you send as bytes arrives as bytes"
                    if isinstance(answer, bytes)
                    else AS_IT_IS
                    if answer.strip() == message.upper().strip()
                    else "a string has a method `upper()`; send what it returns, and nothing else",
                )
            await peer.hears_nothing(f"after the answer to `{message}`", within=0.05)
        await bob.hears_nothing("after Ann's last message, at Bob's", within=0.02)
        await ann.leaves()
        await bob.says("still here")
        await bob.hears("Ann has left, and Bob says `still here`; then")
        return "each message came back in capitals, to the peer that had sent it"

    return try_handler(handler, scenario)


@check
def ask(function: Any) -> Verdict:
    """Check a client, `async def ask(url, question)`, that sends a question and returns the answer."""

    async def scenario(answer: Answer) -> str:
        for question, patience in (("What is six times seven?", 0.0), (f"Is it {a_word()}?", 0.3)):
            await _asked(answer, question, patience)
        return "the server heard both questions, and you returned its answers"

    return try_function(function, scenario, arguments="url, question")


async def _asked(answer: Answer, question: str, patience: float) -> None:
    right = f"the answer to {question!r} is {a_word()}"
    heard: list[str | bytes] = []
    came = asyncio.Event()

    async def oracle(connection: ServerConnection) -> None:
        came.set()
        try:
            async for text in connection:
                heard.append(text)
                await asyncio.sleep(patience)
                await connection.send(right)
                await connection.send("anything else?")
        except ConnectionClosed:
            pass  # the client left without closing; what it returned is checked below

    async with serving(oracle) as url:
        try:
            returned = await answer(url, question)
        except NotYet as not_yet:
            said, hint = not_yet.verdict.said, not_yet.verdict.hint
            if isinstance(answer.error, ConnectionClosed) and answer.error.rcvd_then_sent is False:
                hint = INSIDE
            elif not (heard or not_yet.sure):
                said, hint = f"{said}, and the server never received a question", SEND_FIRST
            raise NotYet(said, hint, sure=not_yet.sure) from not_yet
        if not came.is_set():
            raise NotYet(
                "the server heard nothing: nobody connected to `url`",
                f"connect to the parameter `url`; {SEND_FIRST}",
            )
        if question not in heard:
            quotes = "; write it without quotes: it is the parameter" if heard == ["question"] else ""
            raise NotYet(
                f"the server heard {shown(heard[0]) if heard else 'nothing'}, expected `{question!r}`",
                f"send it with `await connection.send(question)`{quotes}",
            )
        if inspect.iscoroutine(returned):
            returned.close()
            raise NotYet(
                "`ask` returned a coroutine: something that has not run yet",
                "write `await` before it, as in `return await connection.recv()`",
            )
        if returned != right:
            hint = "one question, one `send`, one `recv`" if returned == "anything else?" else RETURN_IT
            raise NotYet(f"`ask` returned {shown(returned)}, the server had answered `{right!r}`", hint)
        if len(heard) > 1:
            raise NotYet(
                f"the server received {len(heard)} messages: {shown(heard)}", "send the question once"
            )
        await answer.watch.all_have_ended(
            "`ask` has returned", "`async with connect(...)` closes it at its end"
        )
