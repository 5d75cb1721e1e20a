"""Live prices: a market that moves, a server that sends each client what it follows, and a page.

python -m apps.prices --port 8000
python -m websockets ws://127.0.0.1:8000   and then type {"type": "subscribe", "symbols": ["ACME"]}
"""

from websockets import http11

http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, 2**16)
"""Bytes of a header: a browser sends the cookies of all ports of a machine to each of them."""
