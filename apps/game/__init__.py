"""Magpies: a game for 2 to 16 people in one arena, its server, its page, and bots to play against.

python -m apps.game --bots 3
python -m apps.game --lan
"""

from websockets import http11

http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, 2**16)
"""Bytes of a header: a browser sends the cookies of all ports of a machine to each of them."""
