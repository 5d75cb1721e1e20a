"""An exhibit, not for use: the chat page that one would write first.

    streamlit run apps/chat/naive_page.py

It shows what comes, for as long as nobody touches it. What is wrong with it:

- The Connect button's handler never ends, so the script never ends: the page says "running" forever.
- Any click and any text starts the script from the top. What was shown is gone, and so is the listening.
- Sending takes a second connection, and starts the script, too: nobody listens when the answer comes.
- The abandoned run sits in `recv()` until the next message, and only then finds that it was ended. Until
  then its connection is open and its thread is there: five clicks leave five of both, which neither Stop nor
  closing the tab ends.

`apps/chat/page.py` is the one to use.
"""

from __future__ import annotations

import asyncio
import os

import streamlit as st
from websockets.asyncio.client import connect

CHAT_URL = os.environ.get("CHAT_URL", "ws://127.0.0.1:8000/ws")


async def listen() -> None:
    """Show every message, forever."""
    async with connect(CHAT_URL) as connection:
        while True:
            st.write(await connection.recv())


async def say(text: str) -> None:
    """Send one message, on a connection of its own."""
    async with connect(CHAT_URL) as connection:
        await connection.send(text)


st.title("Naive chat")
text = st.text_input("Message")
if st.button("Send"):
    asyncio.run(say(text))
if st.button("Connect"):
    asyncio.run(listen())
