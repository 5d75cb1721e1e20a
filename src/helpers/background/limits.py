"""How many files, and so connections, a process may hold open."""

from __future__ import annotations

import sys

PLENTY = 10_240
"""More than this macOS refuses (`OPEN_MAX` in its sys/syslimits.h)."""


def raise_file_limit() -> int:
    """Let this process open as many files as it may, and say how many these are.

    Sources: https://docs.python.org/3/library/resource.html; for Windows, where `select` takes 512 sockets,
    https://docs.python.org/3/library/select.html and `FD_SETSIZE` in CPython's PCbuild.
    """
    if sys.platform == "win32":
        return 512
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = PLENTY if hard == resource.RLIM_INFINITY else min(hard, PLENTY)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return PLENTY if soft == resource.RLIM_INFINITY else soft


def most_files() -> int:
    """How many files a child process may open after `raise_file_limit`."""
    if sys.platform == "win32":
        return 512
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, hard):
        return PLENTY
    return max(soft, min(hard, PLENTY))
