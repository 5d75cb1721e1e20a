"""Live prices: a market that moves, a server that sends each client what it follows, and a page.

python -m apps.prices --port 8000
python -m websockets ws://127.0.0.1:8000   and then type {"type": "subscribe", "symbols": ["ACME"]}
"""
