"""A market that can be replayed: the same seed gives the same prices, however fast they are asked for.

There is no clock and no network here. Whoever owns the market says when the next price is due.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections import deque
from itertools import accumulate
from typing import NamedTuple

KEPT = 100
"""How many changes of each symbol the market remembers."""

SECTORS = {
    "Food": "BEAN Bean & Daughters, BRED Daily Bread, CIDR Cider Works, CRMB Crumble Bakery, FIGS Fig Tree, "
    "HONY Honey Brothers, MILK Meadow Dairy, PEAR Pear Orchards",
    "Energy": "AMPR Ampere Power, BOLT Bolt Electric, COAL Old Colliery, HYDR Hydro Dams, SOLR Solar Fields, "
    "TIDE Tidal Energy, VOLT Volt Storage, WIND Windward",
    "Transport": "BOAT Boatyard, CART Cart & Wheel, KITE Kite Airlines, RAIL Rail United, SAIL Sail Freight, "
    "TRAM Tramways, TYRE Tyre Makers, VELO Velo Cycles",
    "Workshop": "ACME Acme Anvils, BRSH Brush & Broom, CLAY Clay Potters, GLUE Glue Chemicals, "
    "LAMP Lamplight, NAIL Nail Foundry, ROPE Ropewalk, TOOL Toolbox",
    "Leisure": "BOOK Bookbinders, CHES Chess House, DRUM Drum Factory, FILM Film Palace, HARP Harp Makers, "
    "OPRA Opera House, PLAY Playground, TENT Tent Camping",
}
"""Companies that don't exist, by sector: a symbol and a name each."""

COMPANIES = {
    symbol: (name, sector)
    for sector, listed in SECTORS.items()
    for symbol, _, name in (company.partition(" ") for company in listed.split(", "))
}
"""For each symbol, the company's name and its sector."""


class Change(NamedTuple):
    """A new price.

    Attributes:
        symbol: of the company.
        number: counts the changes of this symbol; the first price has number 1.
        price: in crowns, to the cent.
        time: when it was made, in seconds since 1970.
    """

    symbol: str
    number: int
    price: float
    time: float


class Market:
    """The prices of all companies, and their last changes.

        market = Market(seed=7)
        change = market.step(time.time())
        market.newest["ACME"].price

    Some companies are traded more than others. Only `random()` is used, which gives the same numbers in
    every version of Python (https://docs.python.org/3/library/random.html#notes-on-reproducibility).

    Args:
        seed: the same one gives the same prices.
        time: of the first prices, in seconds since 1970.
    """

    def __init__(self, seed: int = 1, time: float = 0) -> None:
        self._random = random.Random(seed).random
        self.newest = {
            symbol: Change(symbol, 1, round(20 + 180 * self._random(), 2), time)
            for symbol in sorted(COMPANIES)
        }
        self._symbols = list(self.newest)
        self._shares = list(accumulate(0.2 + self._random() for _ in self._symbols))
        self._history = {symbol: deque([first], KEPT) for symbol, first in self.newest.items()}

    def step(self, time: float) -> Change:
        """Change one price.

        Args:
            time: now, in seconds since 1970.

        Returns:
            The change.
        """
        drawn = self._random() * self._shares[-1]
        before = self.newest[self._symbols[bisect(self._shares, drawn)]]
        move = (self._random() + self._random() + self._random() - 1.5) / 250  # at most 0.6 %
        price = max(0.01, round(before.price * (1 + move), 2))
        change = Change(before.symbol, before.number + 1, price, time)
        self.newest[change.symbol] = change
        self._history[change.symbol].append(change)
        return change

    def since(self, symbol: str, number: int) -> list[Change] | None:
        """The changes of a symbol after the one of a number.

        Returns:
            None when some of them are no longer remembered, or the number has yet to come.
        """
        kept = self._history[symbol]
        if not kept[0].number - 1 <= number <= kept[-1].number:
            return None
        return list(kept)[len(kept) - (kept[-1].number - number) :]
