// The game's page: says what you want, 20 times a second, shows what came of it, and reconnects.

import { Arena, colour } from "./draw.js";
import { Interpolation, Prediction } from "./world.js";

const RETRY = 1000; // milliseconds until the next try to connect; up to twice as much, so that not all come at once
const UNANSWERED = 60; // inputs without an answer, after which no more are made: the connection is stuck
const SILENCE = 5000; // milliseconds without a word, after which nobody is said to play
const NEWS = 3500; // milliseconds that a piece of news is shown
const ELSEWHERE = 4001; // as in server.py
const IDLE = 4002;
const POLICY = 1008;

const part = (id) => document.getElementById(id);
const address = new URL(location.href);
const place = `magpies ${address.pathname}${address.search}`; // where this page keeps its seat, in sessionStorage
const arena = new Arena(part("arena"));
const seen = { players: {}, coins: {}, ends: 0, resting: false, tick: 0 };
let code = address.searchParams.get("code") ?? "";
let socket = null;
let mayJoin = false; // the server has said hello, and there is no request to join without an answer
let connecting = false; // until there is something to say of the connection
let rules = null;
let me = null; // the number of our player
let number = 0; // of our last input
let prediction = null;
let others = null;
const kept = JSON.parse(sessionStorage.getItem(place) ?? "{}"); // name and seat
let wantsToPlay = Boolean(kept.seat);
let farewell = null; // the server's, before it closes the connection
let ping = null;
let heard = Infinity; // when something last came on this connection, by performance.now()
let lastTick = 0; // of ours, in milliseconds
let lastFrame = 0;

async function connect() {
  if (connecting || socket?.readyState === WebSocket.OPEN) return;
  connecting = true;
  try {
    const gate = await fetch(`gate?code=${encodeURIComponent(code)}`);
    if (gate.status === 403) {
      say("locked", false);
      part("ask-code").hidden = false;
      return enter(code ? await gate.text() : "");
    }
  } catch {
    return lost("no server: trying again");
  }
  part("ask-code").hidden = true;
  const url = new URL("./", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.search = code ? `?code=${encodeURIComponent(code)}` : "";
  socket = new WebSocket(url);
  socket.onmessage = ({ data }) => {
    if (me === null && performance.now() - heard > SILENCE) say("watching", true);
    heard = performance.now();
    take(JSON.parse(data));
  };
  socket.onclose = ({ code: why }) => closed(why);
}

function closed(why) {
  me = null;
  heard = Infinity;
  mayJoin = false;
  const code = farewell?.code ?? why; // a proxy may have changed it
  const words = farewell?.text ?? "";
  farewell = null;
  if ([ELSEWHERE, POLICY].includes(code)) {
    wantsToPlay = false;
    say("not connected", false);
    return enter(words);
  }
  if (code === IDLE) {
    wantsToPlay = false;
    enter(words);
  }
  lost("not connected: trying again");
}

function lost(words) {
  say(words, false);
  setTimeout(connect, RETRY * (1 + Math.random()));
}

const send = (message) => socket?.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));

function say(words, open) {
  connecting = false;
  if (part("state").textContent !== words) part("state").textContent = words;
  part("state").toggleAttribute("data-open", open);
}

function enter(why = "") {
  part("entrance").hidden = false;
  part("why").textContent = why;
  offer();
}

// What is offered besides the arena: to stop, or to play.
function offer() {
  part("leave").hidden = !part("entrance").hidden;
  part("leave").textContent = me === null ? "Play" : "Stop playing";
  part("dash").hidden = me === null || !matchMedia("(pointer: coarse)").matches;
}

// In a frame, the keys are the game's only after a click into it, and it never takes them by itself: whoever is
// typing around it goes on typing there. While they go elsewhere, the page says so instead of "playing".
const away = () => me !== null && !document.hasFocus();
const focusField = () => part("arena").focus({ preventScroll: true });

function attend() {
  part("veil").hidden = !away();
  const silence = performance.now() - heard;
  if (silence > SILENCE) say(`nothing heard for ${Math.round(silence / 1000)} s`, false);
  else if (me !== null) say(away() ? "not playing: click the field" : "playing", !away());
}

function keep(seat) {
  Object.assign(kept, { name: part("name").value, seat });
  sessionStorage.setItem(place, JSON.stringify(kept));
}

function play() {
  wantsToPlay = true;
  part("why").textContent = "";
  const typed = part("code").value.trim().toUpperCase();
  if (!part("ask-code").hidden && typed) code = typed;
  if (!mayJoin) return connect();
  mayJoin = false;
  send({ type: "join", name: part("name").value, seat: kept.seat ?? "" });
}

function take(message) {
  if (["hello", "welcome", "watching", "error"].includes(message.type)) mayJoin = true;
  if (message.type === "hello") {
    rules = message.rules;
    others = new Interpolation(rules.ticks);
    say("watching", true);
    if (wantsToPlay) play();
    else send({ type: "watch" });
  } else if (message.type === "welcome") {
    ({ you: me, ack: number } = message);
    keep(message.seat);
    prediction = new Prediction(rules);
    part("entrance").hidden = true;
    offer();
    attend();
    if (!away()) focusField();
  } else if (message.type === "watching") {
    me = null;
    say("watching", true);
    offer();
  } else if (message.type === "snapshot" || message.type === "changes") {
    update(message);
  } else if (message.type === "pong") {
    ping = performance.now() - message.time;
  } else if (message.type === "bye") {
    farewell = message;
  } else if (message.type === "error" && me !== null) {
    news(message.text);
  } else if (message.type === "error") {
    wantsToPlay = false;
    send({ type: "watch" });
    enter(message.text);
  }
}

function update(message) {
  if (message.type === "snapshot") Object.assign(seen, { players: {}, coins: {} });
  for (const name of ["tick", "ends", "resting"]) seen[name] = message[name] ?? seen[name];
  for (const [at, changed] of Object.entries(message.players ?? {})) {
    if (changed === null) delete seen.players[at];
    else seen.players[at] = { ...seen.players[at], ...changed };
  }
  for (const [at, coin] of Object.entries(message.coins ?? {})) {
    if (coin === null) delete seen.coins[at];
    else seen.coins[at] = coin;
  }
  others.add(seen.tick, seen.players, performance.now());
  if (message.body && me !== null) prediction.reconcile(message.body, message.ack);
  for (const event of message.events ?? []) tell(event);
}

const nameOf = (at) => (Number(at) === me ? "you" : (seen.players[at]?.name ?? "somebody"));

const amount = (coins) => (coins === 1 ? "a coin" : `${coins} coins`);

function tell(event) {
  const capital = (words) => words[0].toUpperCase() + words.slice(1);
  if (event.event === "robbed") {
    const by = capital(nameOf(event.by));
    const what = event.coins
      ? `robbed ${nameOf(event.whom)} of ${amount(event.coins)}`
      : `caught ${nameOf(event.whom)}`;
    news(`${by} ${what}.${event.whom === me ? " You are the magpie now!" : ""}`);
  } else if (event.event === "magpie") {
    news(event.who === me ? "You are the magpie: rob somebody!" : `${nameOf(event.who)} is the magpie.`);
  } else if (event.event === "over") {
    const winners = event.winners.map(nameOf).join(" and ");
    const verb = event.winners.length > 1 || winners === "you" ? "win" : "wins";
    news(winners ? `${capital(winners)} ${verb} with ${amount(event.coins)}.` : "The round is over.");
  } else if (event.event === "begins") {
    news("A new round!");
  }
}

let newsUntil = 0;
function news(words) {
  part("news").textContent = words;
  newsUntil = performance.now() + NEWS;
}

// What you want to do: keys, a finger that drags, and the dash.
const KEYS = {
  ArrowLeft: [-1, 0],
  KeyA: [-1, 0],
  ArrowRight: [1, 0],
  KeyD: [1, 0],
  ArrowUp: [0, -1],
  KeyW: [0, -1],
  ArrowDown: [0, 1],
  KeyS: [0, 1],
};
const DASHES = ["Space", "ShiftLeft", "ShiftRight"];
const held = new Set();
const tapped = new Set(); // since the last tick, so that a short tap counts
let stick = null; // { id, x, y, way: [x, y] }

addEventListener("keydown", (event) => {
  if (me === null || event.target.closest("input, button, a") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!(event.code in KEYS) && !DASHES.includes(event.code)) return;
  event.preventDefault();
  held.add(event.code);
  tapped.add(event.code);
});
addEventListener("keyup", ({ code: key }) => held.delete(key));
addEventListener("blur", () => {
  held.clear();
  attend();
});
addEventListener("focus", attend);
part("veil").onclick = () => {
  focusField();
  attend();
};
part("boxes").onchange = focusField; // or the next arrow key would be the box's
part("arena").onpointerdown = (event) => {
  focusField();
  if (stick)
    tapped.add("Space"); // a second finger
  else stick = { id: event.pointerId, x: event.clientX, y: event.clientY, way: [0, 0] };
  if (stick.id === event.pointerId) part("arena").setPointerCapture(event.pointerId);
};
part("arena").onpointermove = (event) => {
  if (stick?.id !== event.pointerId) return;
  const way = [event.clientX - stick.x, event.clientY - stick.y];
  const far = Math.hypot(...way);
  stick.way = far < 12 ? [0, 0] : way.map((each) => (Math.abs(each) > 0.38 * far ? Math.sign(each) : 0));
};
part("arena").onpointerup = part("arena").onpointercancel = ({ pointerId }) => {
  if (stick?.id === pointerId) stick = null;
};
part("dash").onpointerdown = () => {
  held.add("Space");
  tapped.add("Space");
};
part("dash").onpointerup = part("dash").onpointercancel = () => held.delete("Space");

function wanted() {
  const keys = new Set([...held, ...tapped]);
  tapped.clear();
  let [x, y] = stick?.way ?? [0, 0];
  for (const key of keys) {
    x += KEYS[key]?.[0] ?? 0;
    y += KEYS[key]?.[1] ?? 0;
  }
  return { x: Math.sign(x), y: Math.sign(y), dash: DASHES.some((key) => keys.has(key)) };
}

function tick() {
  if (me === null || !prediction?.now || prediction.pending.length >= UNANSWERED) return;
  number += 1;
  const input = wanted();
  send({ type: "input", number, ...input });
  prediction.make(number, input);
}

function frame(now) {
  const period = 1000 / (rules?.ticks ?? 20);
  if (now - lastTick > 10 * period) lastTick = now; // the page was hidden
  for (; now - lastTick >= period; lastTick += period) tick();
  const latest = Object.fromEntries(Object.entries(seen.players).map(([at, { x, y }]) => [at, [x, y]]));
  const places = others && part("interpolate").checked ? { ...latest, ...others.shown(now) } : latest;
  let ghost = null;
  if (me !== null && prediction?.now) {
    ghost = part("ghost").checked ? [prediction.body.x, prediction.body.y] : null;
    if (part("predict").checked) places[me] = prediction.shown((now - lastTick) / period, now - lastFrame);
  }
  lastFrame = now;
  arena.draw({ rules, places, ghost, me, players: seen.players, coins: seen.coins }, now);
  part("arena").dataset.at = places[me]?.map(Math.round) ?? "";
  if (now > newsUntil) part("news").textContent = "";
  requestAnimationFrame(frame);
}

function score() {
  attend();
  const rows = Object.entries(seen.players).sort(([, one], [, other]) => other.coins - one.coins);
  part("scores").replaceChildren(
    ...rows.map(([at, player]) => {
      const row = document.createElement("tr");
      row.toggleAttribute("data-me", Number(at) === me);
      row.toggleAttribute("data-away", player.away);
      row.dataset.name = player.name;
      row.dataset.at = [player.x, player.y];
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.style.background = colour(Number(at));
      row.insertCell().append(dot, player.name, player.magpie ? " · magpie" : "");
      for (const count of [player.coins, player.wins]) {
        const cell = row.insertCell();
        cell.className = "number";
        cell.textContent = count;
      }
      return row;
    }),
  );
  const left = Math.max(0, Math.ceil((seen.ends - seen.tick) / (rules?.ticks ?? 20)));
  part("clock").textContent = rules ? (seen.resting ? `next round in ${left} s` : `${left} s left`) : "";
  const corrected = prediction?.corrections ?? 0;
  part("figures").textContent = [
    ping === null ? "" : `ping ${Math.round(ping)} ms`,
    others ? `others ${Math.round(others.delay)} ms ago` : "",
    me === null ? "" : `${corrected} ${corrected === 1 ? "correction" : "corrections"}`,
  ]
    .filter(Boolean)
    .join(" · ");
  const own = seen.players[me];
  const role = own?.magpie ? "You are the magpie. " : "";
  part("arena").ariaLabel =
    `The arena with ${rows.length} players. ${role}${own ? `You are at ${own.x}, ${own.y}.` : ""}`;
}

part("entrance").onsubmit = (event) => {
  event.preventDefault();
  play();
};
part("watch").onclick = () => {
  part("entrance").hidden = true;
  offer();
};
part("leave").onclick = () => {
  if (me !== null) {
    wantsToPlay = false;
    keep("");
    send({ type: "watch" });
  }
  enter();
};

part("entrance").hidden = false; // not before: a form without its script would load the page again
part("name").value = kept.name ?? address.searchParams.get("name") ?? "";
setInterval(score, 250);
setInterval(() => send({ type: "ping", time: performance.now() }), 1000);
connect();
requestAnimationFrame(frame);
