// The rule that says where a move ends: the same as `move` in world.py, so that a page can foresee its own moves.

export function move(body, wanted, rules) {
  const next = { ...body, rest: Math.max(0, body.rest - 1) };
  if (next.stunned) {
    next.stunned -= 1;
    return next;
  }
  if (wanted.dash && !next.rest && (wanted.x || wanted.y)) {
    next.dashing = rules.dash_moves;
    next.rest = rules.rest_moves;
  }
  let speed = next.dashing ? rules.dash_speed : next.magpie ? rules.magpie_speed : rules.speed;
  next.dashing = Math.max(0, next.dashing - 1);
  if (wanted.x && wanted.y) speed = Math.floor((speed * 7) / 10);
  next.x = slide(next.x, wanted.x * speed, rules.width, next.y, 0, rules);
  next.y = slide(next.y, wanted.y * speed, rules.height, next.x, 1, rules);
  return next;
}

function slide(place, way, end, across, axis, { radius, walls }) {
  let to = Math.min(Math.max(place + way, radius), end - radius);
  for (const wall of walls) {
    const low = wall[axis] - radius;
    const high = wall[axis + 2] + radius;
    if (low < to && to < high && wall[1 - axis] - radius < across && across < wall[3 - axis] + radius) {
      to = way > 0 ? low : high;
    }
  }
  return to;
}

// The way of a player's own picture: moves are made at once, and made again from what the server says.
export class Prediction {
  constructor(rules) {
    this.rules = rules;
    this.body = null; // where the server has us, after the input `ack`
    this.now = null; // where we are, if all our inputs arrive
    this.before = null; // where we were one tick ago
    this.pending = []; // inputs without an answer
    this.off = { x: 0, y: 0 }; // between what is shown and what is right: it fades
    this.corrections = 0;
  }

  make(number, wanted) {
    this.pending.push({ number, wanted });
    this.before = this.now;
    this.now = move(this.now, wanted, this.rules);
  }

  reconcile(body, ack) {
    this.body = body;
    this.pending = this.pending.filter(({ number }) => number > ack);
    const now = this.pending.reduce((at, { wanted }) => move(at, wanted, this.rules), body);
    const shift = { x: now.x - (this.now ?? now).x, y: now.y - (this.now ?? now).y };
    if (shift.x || shift.y) {
      this.corrections += 1;
      for (const axis of ["x", "y"]) {
        this.off[axis] -= shift[axis];
        this.before[axis] += shift[axis];
      }
      if (Math.hypot(this.off.x, this.off.y) > 200) this.off = { x: 0, y: 0 };
    }
    this.before = shift.x || shift.y ? { ...this.before } : (this.before ?? now);
    this.now = now;
  }

  // Where to draw us: `share` of the way from the last tick to this one, and what is wrong fades in a tenth of a second.
  shown(share, milliseconds) {
    const fade = Math.exp(-milliseconds / 100);
    this.off = { x: this.off.x * fade, y: this.off.y * fade };
    return [
      this.before.x + (this.now.x - this.before.x) * share + this.off.x,
      this.before.y + (this.now.y - this.before.y) * share + this.off.y,
    ];
  }
}

// The others, a little in the past: between two states that have both come.
export class Interpolation {
  constructor(ticks) {
    this.period = 1000 / ticks;
    this.states = []; // { tick, places: { number: [x, y] } }, the oldest first
    this.base = Number.POSITIVE_INFINITY; // when tick 0 would have come here, if no message were late
    this.late = 0; // how late messages are
    this.delay = 1.5 * this.period;
  }

  add(tick, players, now) {
    const places = Object.fromEntries(Object.entries(players).map(([number, { x, y }]) => [number, [x, y]]));
    this.states.push({ tick, places });
    if (this.states.length > 40) this.states.shift();
    this.base = Math.min(this.base + 0.2, now - tick * this.period);
    this.late = Math.max(this.late * 0.97, now - tick * this.period - this.base);
  }

  // Where everybody was `delay` ago.
  shown(now) {
    this.delay += (Math.min(500, 1.5 * this.period + this.late) - this.delay) * 0.05;
    const tick = (now - this.base - this.delay) / this.period;
    const later = this.states.findIndex((state) => state.tick > tick);
    if (later <= 0) return this.states.at(later)?.places ?? {};
    const [from, to] = [this.states[later - 1], this.states[later]];
    const share = (tick - from.tick) / (to.tick - from.tick);
    const places = {};
    for (const [number, [x, y]] of Object.entries(to.places)) {
      const [before, above] = from.places[number] ?? [x, y];
      places[number] = [before + (x - before) * share, above + (y - above) * share];
    }
    return places;
  }
}
