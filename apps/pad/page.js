// The pad's page. It has the room's text as of a revision (`base`), one edit that is on its way to the server
// (`flight`), and what was typed since (`pending`); the three together are what is shown. `seat.py` has the other end.

import { apply, both, difference, followed, moved } from "./splices.js";

const COLOURS = 8;
const CARET_PAUSE = 80; // milliseconds
const RETRY = [300, 5000]; // the first and the longest pause, in milliseconds

const part = (id) => document.getElementById(id);
const area = part("text");
const asked = new URLSearchParams(location.search);

let socket;
let base = "";
let revision = 0;
let seat = "";
let run = "";
let id;
let number = 0;
let flight = null; // { type: "edit", number, splices } or { type: "undo", number, again }
let pending = [];
let waits = false; // an edit that was refused, for the next one
const wanted = []; // undo and redo that wait for their turn: the value of `again`
let shown = "";
let people = [];
const colours = new Map(); // the number of each person's colour
let caretDue = false;
let composing = false;
let late = []; // messages that came while a letter was being composed
let pause = RETRY[0];
let joined = false;

part("room").textContent = asked.get("room") ?? "start";
part("name").value = asked.get("name") ?? localStorage.getItem("pad-name") ?? "Guest";

function connect() {
  socket = new WebSocket(location.href.split("#")[0].replace("http", "ws"));
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: "join", name: part("name").value, seat, run, revision }));
  };
  socket.onmessage = ({ data }) => {
    if (composing) late.push(data);
    else take(JSON.parse(data));
  };
  socket.onclose = () => {
    joined = false;
    late = [];
    people = [];
    say(isSafe() ? "not connected: trying again" : "not connected: what you type is kept here", false);
    draw();
    setTimeout(connect, pause);
    pause = Math.min(RETRY[1], 2 * pause);
  };
}

const isSafe = () => !flight && !pending.length;

function say(words, open) {
  part("state").textContent = words;
  part("state").toggleAttribute("data-open", open);
}

function take(message) {
  if (message.type === "joined") join(message);
  else if (message.type === "change") change(message);
  else if (message.type === "people") meet(message.people);
  else if (message.type === "done") offer(message);
  else if (message.type === "error") refused(message);
}

// What there is to undo, the server knows; but what was typed since it said so can be undone as well.
function offer({ undo: some, redo: more }) {
  if (wanted.length) return;
  part("undo").disabled = isSafe() && !some;
  part("redo").disabled = !isSafe() || !more;
}

// An edit that can't be made, as the text is full, say: what is shown stays, and goes with the next edit, as one.
function refused({ text, number: whose }) {
  say(text, false);
  if (flight?.number !== whose) return;
  flight = null;
  waits = !pending.length; // or it was typed on meanwhile
  pending = difference(base, shown);
  send();
}

function join(message) {
  ({ seat, run, id } = message);
  if (message.text !== undefined) {
    if (flight && (flight.type === "undo" || message.number >= flight.number)) {
      if (flight.type === "edit") base = apply(base, flight.splices); // it has arrived
      flight = null;
    }
    revision = message.revision;
    rebase(difference(base, message.text));
    base = message.text;
  }
  number = Math.max(number, message.number);
  joined = true;
  waits = false;
  pause = RETRY[0];
  area.readOnly = false;
  say("saved", true);
  caretDue = document.activeElement === area;
  offer(message);
  if (flight) post({ ...flight, revision });
  send();
}

function change({ revision: now, splices, by, number: whose }) {
  const after = apply(base, splices);
  if (by === id && flight?.number === whose) {
    const news = flight.type === "undo" ? splices : difference(apply(base, flight.splices), after);
    flight = null;
    rebase(news);
  } else {
    rebase(splices);
  }
  base = after;
  revision = now;
  if (isSafe()) say("saved", true);
  send();
}

// Others have made these edits of the base: carry mine, and what is shown, over them.
function rebase(theirs) {
  let news = theirs;
  if (flight?.type === "edit") [flight.splices, news] = both(flight.splices, news);
  [pending, news] = both(pending, news);
  if (!news.length) return;
  const ends = [area.selectionStart, area.selectionEnd].map((end) =>
    news.reduce((at, one) => moved(at, one, false), end),
  );
  const top = area.scrollTop;
  shown = apply(shown, news);
  area.value = shown;
  area.setSelectionRange(...ends);
  area.scrollTop = top;
  carry(news);
}

function carry(splices) {
  const to = (place) => place !== undefined && splices.reduce((at, one) => moved(at, one), place);
  for (const person of people) {
    if (person.anchor === undefined) continue;
    person.anchor = to(person.anchor);
    person.head = to(person.head);
  }
  draw();
}

function meet(all) {
  paint(all.map((person) => person.id));
  people = all.filter((person) => person.id !== id);
  carry([...(flight?.splices ?? []), ...pending]);
}

// The first free colour goes to whoever arrives, so that no two look the same while there are enough.
function paint(ids) {
  for (const gone of [...colours.keys()].filter((who) => !ids.includes(who))) colours.delete(gone);
  for (const who of ids.filter((one) => !colours.has(one))) {
    const used = [...colours.values()];
    const free = [...Array(COLOURS).keys()].find((colour) => !used.includes(colour));
    colours.set(who, free ?? who % COLOURS);
  }
}

function post(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

const caret = () => [area.selectionStart, area.selectionEnd];

function send() {
  if (!joined || flight || waits) return;
  if (pending.length) {
    number += 1;
    flight = { type: "edit", number, splices: pending };
    pending = [];
    caretDue = false;
    post({ ...flight, revision, caret: caret() });
  } else if (wanted.length) {
    number += 1;
    flight = { type: "undo", number, again: wanted.shift() };
    post({ ...flight, revision });
  } else if (caretDue) {
    caretDue = false;
    post({ type: "caret", revision, caret: caret() });
  }
}

area.oninput = () => {
  part("undo").disabled = false;
  part("redo").disabled = true;
  for (const edit of difference(shown, area.value)) {
    pending = followed(pending, edit);
    shown = area.value;
    carry([edit]);
  }
  if (waits) pending = difference(base, shown); // without what was too much, if it has gone
  waits = false;
  say(joined ? "saving …" : "not connected: what you type is kept here", joined);
  if (!composing) send();
};

area.addEventListener("compositionstart", () => {
  composing = true;
});
area.addEventListener("compositionend", () => {
  composing = false;
  for (const data of late.splice(0)) take(JSON.parse(data));
  send();
});

function undo(again) {
  wanted.push(again);
  send();
}

area.addEventListener("beforeinput", (event) => {
  if (!event.inputType.startsWith("history")) return;
  event.preventDefault();
  undo(event.inputType === "historyRedo");
});
area.onkeydown = (event) => {
  const key = event.key.toLowerCase();
  if (!(event.ctrlKey || event.metaKey) || event.altKey || !["z", "y"].includes(key)) return;
  event.preventDefault();
  undo(key === "y" || event.shiftKey);
};
part("undo").onclick = () => undo(false);
part("redo").onclick = () => undo(true);

let caretWaits = false;
document.onselectionchange = () => {
  if (document.activeElement !== area || caretWaits) return;
  caretWaits = true;
  setTimeout(() => {
    caretWaits = false;
    caretDue = true;
    send();
  }, CARET_PAUSE);
};

part("name").onchange = () => {
  localStorage.setItem("pad-name", part("name").value);
  socket.close(); // and come back with the new name
};

window.onbeforeunload = (event) => {
  if (!isSafe()) event.preventDefault();
};

// The mirror has the same text as the area, unseen, and the others' cursors between its letters.
function draw() {
  const marks = people
    .filter(({ anchor }) => anchor !== undefined)
    .map(({ anchor, head, ...who }) => ({ ...who, head, from: Math.min(anchor, head), to: Math.max(anchor, head) }));
  const ends = [...new Set([0, shown.length, ...marks.flatMap(({ from, to }) => [from, to])])];
  ends.sort((one, other) => one - other);
  const pieces = [];
  for (const [index, at] of ends.entries()) {
    for (const who of marks.filter(({ head }) => head === at)) {
      const flag = element("b", who.name);
      const stick = element("i", "", who.id);
      stick.append(flag);
      pieces.push(stick);
    }
    const piece = shown.slice(at, ends[index + 1] ?? at);
    const selected = marks.find(({ from, to }) => from <= at && at < to);
    if (piece) pieces.push(selected ? element("span", piece, selected.id) : piece);
  }
  part("mirror").replaceChildren(...pieces, "\n");
  part("mirror").scrollTop = area.scrollTop;
  const listed = people.map(({ name, id: who, head }) => {
    const line = head === undefined ? "" : `, line ${shown.slice(0, head).split("\n").length}`;
    return element("li", name + line, who);
  });
  part("people").replaceChildren(...(listed.length ? listed : [element("li", "nobody else is here")]));
}

function element(kind, text, who) {
  const made = document.createElement(kind);
  made.textContent = text;
  if (who !== undefined) made.className = `colour c${colours.get(who)}`;
  return made;
}

area.onscroll = () => {
  part("mirror").scrollTop = area.scrollTop;
};

draw();
connect();
