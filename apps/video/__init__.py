"""A film that is drawn while you watch: pictures, sound and uploads over WebSockets, and a page.

python -m apps.video --port 8000
"""

from websockets import http11

http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, 2**16)
"""Bytes of a header: a browser sends the cookies of all ports of a machine to each of them."""
