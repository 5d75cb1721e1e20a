"""One function an exercise: it runs your code against real peers and answers in words."""

from helpers.checks.compare import frame_size, right_way
from helpers.checks.full_duplex import collect, thermostat
from helpers.checks.handshake import accept_key, decode, encode, faults
from helpers.checks.kernel_server import librarian, tell
from helpers.checks.room import by_room, offer
from helpers.checks.ship import tell_all, ticket_holder
from helpers.checks.start_here import ask, shout
from helpers.checks.verdict import Verdict

__all__ = [
    "Verdict",
    "accept_key",
    "ask",
    "by_room",
    "collect",
    "decode",
    "encode",
    "faults",
    "frame_size",
    "librarian",
    "offer",
    "right_way",
    "shout",
    "tell",
    "tell_all",
    "thermostat",
    "ticket_holder",
]
