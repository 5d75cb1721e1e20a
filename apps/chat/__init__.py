"""The chat as two programs: a FastAPI server and a Streamlit page, each beside its naive relative.

uvicorn apps.chat.server:app
streamlit run apps/chat/page.py
"""
