"""The chat as a web page. Start it from the folder above `apps`, with the server beside it:

    python -m apps.chat.server
    streamlit run apps/chat/page.py

Streamlit runs this script from top to bottom when the page is opened, and the fragment `chat` twice a second
and whenever the browser has something to say. What is seen and typed is `page.js`, a component of our own:
`st.chat_input` keeps one text, and whoever types a second one before Streamlit has looked loses the first.
The browser keeps each message until the server has answered it (`seat.py`), so none is lost.

Environment variables: CHAT_URL and CHAT_TOKEN, which is sent for visitors who bring no token of their own.
`?name=Ann&room=lobby&token=sesame` in the address fills in the form.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import streamlit as st

from apps.chat.seat import LEAVES_AFTER, Seat, Seats, Wish

HERE = Path(__file__).parent
CHAT_URL = os.environ.get("CHAT_URL", "ws://127.0.0.1:8000/ws")
CHAT_TOKEN = os.environ.get("CHAT_TOKEN", "")

html, css, js = (HERE.joinpath(f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
component = st.components.v2.component("chat", html=html, css=css, js=js)


class Claim:
    """What one session has: a seat, until another session claims it with the same key.

    Args:
        wish: what the tab wants.
    """

    def __init__(self, wish: Wish) -> None:
        self.key = wish.key
        self.seat: Seat = seats().claim(wish, self)

    def look(self, wish: Wish) -> dict[str, Any]:
        """Return what the tab shows."""
        return self.seat.look(wish) if self.seat.holder is self else {"key": self.key, "elsewhere": True}

    def release(self, after: float = LEAVES_AFTER) -> None:
        """Give up the seat: now, or in a moment, because a tab that is reloaded comes back."""
        if self.seat.holder is self:
            self.seat.client.close(after)


@st.cache_resource(show_spinner=False)
def seats() -> Seats:
    """Return the seats of all tabs."""
    return Seats(CHAT_URL, CHAT_TOKEN)


@st.cache_resource(scope="session", on_release=Claim.release, show_spinner=False)
def claim(key: str, _wish: Wish) -> Claim:
    """Take a seat for this session; once, until the tab is closed or its person leaves."""
    return Claim(_wish)


@st.fragment(run_every=0.5)
def chat() -> None:
    """Do what the tab wants, and draw what there is to see."""
    wish = Wish.read(st.session_state.get("chat", {}).get("wish", {}))
    before: Claim | None = st.session_state.get("claim")
    if before and before.key != wish.key:
        before.release(after=0)
        claim.clear()
        del st.session_state.claim
    if wish.key:
        mine = st.session_state.claim = claim(wish.key, wish)
        st.query_params.from_dict({"name": wish.name, "room": wish.room})
        view = mine.look(wish)
    else:
        view = {"key": "", "ask": st.query_params.to_dict()}
    component(key="chat", data=view, on_wish_change=lambda: None)


@st.cache_resource(show_spinner=False)
def leave_out_what_stays() -> None:
    """Have Streamlit search only new objects for garbage, which it does after each run.

    There are 100,000 others by now, of libraries that stay loaded, and that search would take eight times as
    long as everything else an open page costs.
    """
    gc.collect()
    gc.freeze()


st.set_page_config("Chat")
st.html("<style>.stAppHeader { display: none }</style>")  # its place is ours
chat()
leave_out_what_stays()
