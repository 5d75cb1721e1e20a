"""A pad: one text that several people edit at the same time, in browsers and in programs.

python -m apps.pad --port 8000
python -m apps.pad --port 8000 --file pad.sqlite    keeps the texts when it ends
"""

from websockets import http11

http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, 2**16)
"""Bytes of a header: a browser sends the cookies of all ports of a machine to each of them."""
