"""Readings of a fleet of sensors, stored once and never lost: the devices, the collector and its page.

python -m apps.sensors --port 8000
python -m apps.sensors.device --url ws://127.0.0.1:8000 --count 10 --name attic
"""

from websockets import http11

http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, 2**16)
"""Bytes of a header: a browser sends the cookies of all ports of a machine to each of them."""
