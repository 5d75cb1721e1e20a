"""One function an exercise: it runs your code against real peers and answers in words."""

from helpers.checks.full_duplex import collect, thermostat
from helpers.checks.kernel_server import librarian, tell
from helpers.checks.start_here import ask, shout
from helpers.checks.verdict import Verdict

__all__ = ["Verdict", "ask", "collect", "librarian", "shout", "tell", "thermostat"]
