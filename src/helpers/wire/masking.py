"""The XOR of RFC 6455 §5.3, as quick as `websockets` has it: in C where its speedups are compiled."""

from __future__ import annotations

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

__all__ = ["apply_mask"]
