// Draws the arena on its canvas.

const LEAST_SCALE = 0.4; // pixels of the page per unit: on a phone, the arena is larger than what one sees of it

const EDGE = 44; // units around the arena, where rings and names of players at its walls have room, and the news

export const colour = (number) => `hsl(${(number * 137.5) % 360} 62% 52%)`;

export class Arena {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.size = [1, 1];
    new ResizeObserver(([{ contentRect }]) => {
      this.size = [contentRect.width, contentRect.height];
    }).observe(canvas);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.onchange = () => this.readColours();
    this.readColours();
  }

  // A canvas knows no variables of CSS and no light-dark(): an element's own colour is asked.
  readColours() {
    const probe = document.body.appendChild(document.createElement("i"));
    this.colours = {};
    for (const name of ["floor", "wall", "ink", "coin", "jewel", "magpie", "accent", "good", "card"]) {
      probe.style.color = `var(--${name})`;
      this.colours[name] = getComputedStyle(probe).color;
    }
    probe.remove();
  }

  // `scene` has rules, players, coins, places ({ number: [x, y] }), me (a number or null), ghost ([x, y] or null).
  draw(scene, now) {
    const { pen, canvas, colours } = this;
    const ratio = window.devicePixelRatio;
    const [width, height] = this.size.map((each) => Math.max(1, Math.round(each * ratio)));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (!scene.rules) return;
    const { rules } = scene;
    const scale = Math.max(
      Math.min(width / (rules.width + 2 * EDGE), height / (rules.height + 2 * EDGE)),
      LEAST_SCALE * ratio,
    );
    const [x, y] = scene.places[scene.me] ?? [rules.width / 2, rules.height / 2];
    const left = camera(x, rules.width, width, scale);
    const top = camera(y, rules.height, height, scale);
    pen.setTransform(scale, 0, 0, scale, -left, -top);
    pen.fillStyle = colours.floor;
    pen.fillRect(0, 0, rules.width, rules.height);
    pen.fillStyle = colours.wall;
    for (const [from, above, to, below] of rules.walls) box(pen, from, above, to - from, below - above, 10);
    for (const [cx, cy, worth] of Object.values(scene.coins)) this.coin(cx, cy, worth);
    if (scene.ghost) ring(pen, ...scene.ghost, rules.radius, colours.accent, 3, [8, 6]);
    for (const [number, player] of Object.entries(scene.players)) {
      const at = scene.places[number];
      if (at) this.player(...at, player, Number(number), number === String(scene.me), rules.radius, now);
    }
    this.pointAtTheMagpie(scene, scale, left, top, width, height);
  }

  coin(x, y, worth) {
    const { pen, colours } = this;
    pen.beginPath();
    if (worth > 1) {
      for (const [dx, dy] of [
        [0, -17],
        [14, 0],
        [0, 17],
        [-14, 0],
      ])
        pen.lineTo(x + dx, y + dy);
      pen.fillStyle = colours.jewel;
    } else {
      pen.arc(x, y, 11, 0, 7);
      pen.fillStyle = colours.coin;
    }
    pen.closePath();
    pen.fill();
  }

  player(x, y, player, number, isMe, radius, now) {
    const { pen, colours } = this;
    pen.globalAlpha = player.away ? 0.3 : player.stunned ? 0.55 : 1;
    if (isMe) ring(pen, x, y, radius + 7, colours.ink, 4);
    if (player.safe && !player.magpie) ring(pen, x, y, radius + 12, colours.good, 4);
    disc(pen, x, y, radius, player.magpie ? colours.magpie : colour(number));
    if (player.magpie) {
      ring(pen, x, y, radius + 1, colours.ink, 2);
      disc(pen, x, y + 11, 13, "#fff");
      pen.fillStyle = colours.coin;
      pen.beginPath();
      for (const [dx, dy] of [
        [22, -10],
        [44, -2],
        [22, 4],
      ])
        pen.lineTo(x + dx, y + dy);
      pen.fill();
      if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
        ring(pen, x, y, radius + 16 + 5 * Math.sin(now / 150), colours.coin, 3);
      }
    }
    for (const side of [-9, 9]) {
      disc(pen, x + side, y - 6, 6, "#fff");
      disc(pen, x + side, y - (player.dashing ? 8 : 6), 3, "#111");
    }
    pen.font = `${isMe ? 700 : 500} 22px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.lineWidth = 5;
    pen.strokeStyle = colours.floor;
    pen.fillStyle = colours.ink;
    pen.strokeText(player.name, x, y + radius + 28);
    pen.fillText(player.name, x, y + radius + 28);
    pen.globalAlpha = 1;
  }

  // At the edge of the picture, if the magpie is beyond it.
  pointAtTheMagpie({ players, places, me }, scale, left, top, width, height) {
    const number = Object.keys(players).find((each) => players[each].magpie);
    if (!number || number === String(me) || !places[number]) return;
    const [x, y] = [places[number][0] * scale - left, places[number][1] * scale - top];
    if (x > 0 && x < width && y > 0 && y < height) return;
    const { pen, colours } = this;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    const edge = 18 * window.devicePixelRatio;
    const at = [Math.min(Math.max(x, edge), width - edge), Math.min(Math.max(y, edge), height - edge)];
    disc(pen, ...at, edge * 0.7, colours.magpie);
    disc(pen, ...at, edge * 0.3, "#fff");
    ring(pen, ...at, edge * 0.7, colours.coin, 3);
  }
}

// Where a picture of `room` pixels begins along an axis, in pixels from the arena's own beginning, so that `middle` is
// in its middle, or as near as may be; `middle` and the arena's `length` are in units.
function camera(middle, length, room, scale) {
  const [first, last] = [-EDGE * scale, (length + EDGE) * scale - room];
  if (last <= first) return (first + last) / 2;
  return Math.min(Math.max(middle * scale - room / 2, first), last);
}

function disc(pen, x, y, radius, fill) {
  pen.fillStyle = fill;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 7);
  pen.fill();
}

function ring(pen, x, y, radius, stroke, width, dashes = []) {
  pen.strokeStyle = stroke;
  pen.lineWidth = width;
  pen.setLineDash(dashes);
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.stroke();
  pen.setLineDash([]);
}

function box(pen, x, y, width, height, corner) {
  pen.beginPath();
  pen.roundRect(x, y, width, height, corner);
  pen.fill();
}
