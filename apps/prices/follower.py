"""What one client is to be told next. No network here, only the numbers of what was sent.

A follower is *in step* when it has been sent everything so far; then it gets each change. One that had to be
left out for a while gets the newest price of each symbol instead, which is called conflation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from apps.prices.feed import Change, Market


class Follower:
    """A client's subscriptions.

        follower = Follower(market)
        follower.subscribe(["ACME"])
        snapshots, changes = follower.catch_up()

    Args:
        market: what it follows.

    Attributes:
        symbols: those that it follows.
        in_step: whether it has been sent all there is.
    """

    def __init__(self, market: Market) -> None:
        self.symbols: frozenset[str] = frozenset()
        self.in_step = True
        self._market = market
        self._sent: dict[str, int] = {}  # of use only out of step
        self._whole: set[str] = set()

    def subscribe(self, symbols: Iterable[str], after: Mapping[str, int] | None = None) -> None:
        """Follow more symbols; those that it follows already begin again.

        Args:
            symbols: which.
            after: the last number that the client has, of symbols that it has followed before.
        """
        if self.in_step:
            self.fall_behind()
            self._whole = set(self.symbols)
        for symbol in symbols:
            self.symbols |= {symbol}
            self._sent.pop(symbol, None)
            number = (after or {}).get(symbol)
            if number is not None and self._market.since(symbol, number) is not None:
                self._sent[symbol] = number
                self._whole.add(symbol)

    def unsubscribe(self, symbols: Iterable[str]) -> None:
        """Follow these no longer."""
        self.symbols -= set(symbols)

    def fall_behind(self) -> None:
        """Leave it out from now on, until it catches up."""
        if self.in_step:
            self._sent = {symbol: self._market.newest[symbol].number for symbol in self.symbols}
        self._whole.clear()
        self.in_step = False

    def catch_up(self) -> tuple[list[Change], list[tuple[Change, int]]]:
        """What brings the client up to date.

        Returns:
            The snapshots; and the changes, each with the number of the change before it that the client has.
        """
        snapshots: list[Change] = []
        changes: list[tuple[Change, int]] = []
        for symbol in sorted(self.symbols):
            newest, sent = self._market.newest[symbol], self._sent.get(symbol)
            missed = self._market.since(symbol, sent) if sent is not None and symbol in self._whole else None
            if sent is None:
                snapshots.append(newest)
            elif missed is not None:  # it was away, and gets all that it has missed
                changes += [(change, change.number - 1) for change in missed]
            elif sent < newest.number:  # it was too slow, and gets the newest alone
                changes.append((newest, sent))
        self.in_step = True
        return snapshots, changes
