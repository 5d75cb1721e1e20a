"""The chat: a FastAPI server and a Streamlit page, each with a naive version to compare.

    python -m apps.chat

starts both, or each on its own:

    python -m apps.chat.server
    streamlit run apps/chat/page.py

`room.py`, `names.py` and `resume.py` are the parts that need no network. `sessions.py` keeps places for those
whose connection is lost. `crowd.py` is two hundred people who count what they miss in a deploy. In `trials`
are tests to copy.
"""
