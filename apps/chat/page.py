"""The chat as a web page. Start it from the folder above this one, with the server beside it:

    python -m apps.chat.server
    streamlit run apps/chat/page.py

Streamlit runs this script from top to bottom at every click, and a fragment twice a second. A connection
has to outlive that: each browser tab has a `ChatClient`, which Streamlit closes when the tab is closed. Only
the script calls `st`. What comes from others is shown by `st.text`, as it is: most of `st` reads Markdown.

Environment variables: CHAT_URL and CHAT_TOKEN. `?name=Ann&room=lobby` in the address fills in the form.
"""

from __future__ import annotations

import os
from collections import deque
from itertools import groupby
from urllib.parse import urlencode

import streamlit as st

from apps.chat.client import CannotSend, ChatClient, as_line
from apps.chat.resume import unseen
from apps.chat.room import Event

CHAT_URL = os.environ.get("CHAT_URL", "ws://127.0.0.1:8000/ws")
CHAT_TOKEN = os.environ.get("CHAT_TOKEN", "")
EVENTS_SHOWN = 100
STYLE = """<style>
.st-key-room .stText { font-size: 1.5rem; font-weight: 600; }
.st-key-log .stText { font-size: 0.875rem; opacity: 0.7; }
.st-key-log .stChatMessage { padding: 0; background: none; }
.st-key-log .stChatMessage .stVerticalBlock { gap: 0; }
.st-key-log .stChatMessage .stElementContainer:last-child .stText { font-size: 1rem; opacity: 1; }
</style>"""


@st.cache_resource(scope="session", on_release=ChatClient.close, show_spinner=False)
def chat_client(name: str, room: str) -> ChatClient:
    """Connect this tab; once, until the tab is closed or its person leaves."""
    query = {"name": name, "room": room, "token": CHAT_TOKEN}
    known = urlencode({key: value for key, value in query.items() if value})
    return ChatClient(f"{CHAT_URL}?{known}")


def main() -> None:
    """Draw the page: the form, or the room."""
    st.set_page_config("Chat")
    st.html(STYLE)
    if "seat" not in st.session_state:
        ask()
        return
    name, room = st.session_state.seat
    client = chat_client(name, room)
    with st.container(key="room", horizontal=True, horizontal_alignment="distribute"):
        st.text(room)
        st.button("Leave", on_click=leave)
    show(client)
    write(client)


def ask() -> None:
    """Draw the form, and take a seat when it is sent."""
    with st.form("join"):
        name = st.text_input("Your name", st.query_params.get("name", ""), max_chars=32)
        room = st.text_input("Room", st.query_params.get("room", "lobby"), max_chars=32)
        if st.form_submit_button("Join", type="primary"):
            st.query_params.update(name=name, room=room)
            st.session_state.update(seat=(name, room), log=deque(maxlen=EVENTS_SHOWN))
            st.rerun()


def leave() -> None:
    """Close the connection and give up the seat."""
    chat_client.clear()
    del st.session_state.seat


@st.fragment(run_every=0.5)
def show(client: ChatClient) -> None:
    """Draw what there is to see in the room."""
    log: deque[Event] = st.session_state.log
    for event in client.drain():
        log.extend(unseen(log, event["history"]) if event["type"] == "welcome" else [event])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(client.state.name, color="green" if client.state.name == "open" else "orange")
        st.text(client.state.text + (f" Messages waiting: {client.waiting}." if client.waiting else ""))
    members = client.members
    here = f"{len(members)} here" if client.state.name == "open" else "Last seen here"
    st.text(f"{here}: {', '.join(members)}" if members else " ")
    with st.container(key="log", height=300, gap="xsmall", autoscroll=True):
        for who, lines in groupby(map(as_line, log), key=lambda line: line[0]):
            with st.chat_message(who) if who else st.container():
                if who:
                    st.text(who)
                st.text("\n".join(text for _, text in lines))
    st.text(f"typing: {', '.join(client.typing)}" if client.typing else " ")
    if client.dropped:
        st.text(f"{client.dropped:,} events came faster than this page could show them.")


@st.fragment
def write(client: ChatClient) -> None:
    """Send what was typed.

    A fragment too, so that it alone runs again. If the whole script did, on another thread than
    `show`, whose run may just end, that end could clear the text before it is read here.
    """
    if text := st.chat_input("Say something, or /to Bob something", max_chars=4096):
        try:
            client.send(text)
        except CannotSend as problem:
            st.text(str(problem))


main()
