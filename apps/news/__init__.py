"""News over HTTP and WebSocket: one server, and four ways to hear what anybody tells it.

python -m apps.news --port 8000
curl -N http://127.0.0.1:8000/events & curl -d "It rains" http://127.0.0.1:8000/say
"""
