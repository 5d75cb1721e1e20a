"""A guarded meeting place: who may come in, into which room, and how much of it all they may use.

python -m apps.door --port 8000
python -m apps.door --certificate cert.pem --key key.pem   (then it is https and wss)
python -m apps.door.attacks bomb ws://127.0.0.1:8000/ws            (on a server of your own)
"""

from websockets import http11

http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, 2**16)
"""Bytes of a header: a browser sends the cookies of all ports of a machine to each of them."""
