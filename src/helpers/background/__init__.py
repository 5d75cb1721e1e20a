"""Servers, applications, programs and taps kept alive in the background, with `start()` and `stop()`."""
