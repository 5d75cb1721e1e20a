// The door's page: logs in, then talks. What others wrote becomes text, never HTML: `textContent` everywhere.

const KEPT = 200; // lines of the log
const TRIES = 5; // to find the server again, a second apart

const part = (id) => document.getElementById(id);
let socket;
let me = "";
let rooms = {}; // name → "read", "write" or "own"
let room = "";
let until = 0; // when the session ends, in milliseconds since 1970

async function logIn(name, password) {
  const bytes = new TextEncoder().encode(`${name}:${password}`);
  const pair = btoa(String.fromCharCode(...bytes));
  const answer = await fetch("login", { headers: { Authorization: `Basic ${pair}` } });
  if (!answer.ok) throw new Error(await answer.text());
  connect();
}

// The browser sends the cookie along. The script itself can't read it: it is HttpOnly.
function connect() {
  const url = new URL(".", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  socket?.close(); // nobody is in twice
  const mine = new WebSocket(url);
  socket = mine;
  let bye = ""; // the reason of a close frame is lost in some proxies
  mine.onmessage = ({ data }) => {
    if (socket !== mine) return;
    const message = JSON.parse(data);
    if (message.type === "bye") bye = message.text;
    else take(message);
  };
  mine.onclose = ({ reason, code }) => {
    if (socket !== mine) return;
    const why = bye || reason || (code === 1006 ? "the connection broke off, or was refused" : "closed");
    const wasIn = !part("inside").hidden;
    sessionStorage.removeItem("in");
    show(false);
    say(`not connected: ${why}`);
    if (wasIn && !bye) lookForServer(socket);
  };
}

async function lookForServer(lost) {
  for (let tries = 0; tries < TRIES; tries += 1) {
    await new Promise((next) => setTimeout(next, 1000));
    const answer = await fetch("page.css", { cache: "no-store" }).catch(() => null);
    if (socket !== lost) return; // somebody has logged in meanwhile
    if (answer?.ok) return say("the server is back: log in again");
  }
  say("not connected: the server has stopped");
}

function take(message) {
  if (message.type === "welcome") {
    me = message.who;
    until = message.until * 1000;
    sessionStorage.setItem("in", "yes"); // after a reload, the cookie is tried first
    show(true);
    say(`${message.who} is in`);
    tellRights(message.rooms);
  } else if (message.type === "rights") {
    tellRights(message.rooms);
  } else if (message.type === "expelled") {
    const { who, room: where } = message;
    add(who === me ? `you were expelled from the ${where}` : `${who} may no longer use the ${where}`, "notice");
  } else if (message.type === "said") {
    add(`${message.room}  ${message.who}: ${message.text}`);
  } else if (message.type === "error") {
    part("error").textContent = message.text;
  }
}

function add(line, kind = "") {
  const log = part("log");
  const follow = log.scrollTop + log.clientHeight > log.scrollHeight - 8;
  const item = document.createElement("li");
  item.className = kind;
  item.textContent = line;
  log.append(item);
  while (log.children.length > KEPT) log.firstChild.remove();
  if (follow) log.scrollTop = log.scrollHeight;
}

function tellRights(now) {
  rooms = now;
  if (!(room in rooms)) room = Object.keys(rooms)[0] ?? "";
  part("rooms").replaceChildren(
    ...Object.keys(rooms).map((name) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${name} (${rooms[name]})`;
      button.setAttribute("aria-pressed", name === room);
      button.onclick = () => {
        room = name;
        tellRights(rooms);
      };
      return button;
    }),
  );
  if (!room) part("rooms").textContent = "no room is open to you";
  part("talk").hidden = !["write", "own"].includes(rooms[room]);
  part("expel").hidden = rooms[room] !== "own";
}

function show(inside) {
  part("login").hidden = inside;
  part("inside").hidden = !inside;
  part("leave").hidden = !inside;
  part("state").toggleAttribute("data-open", inside);
  part("error").textContent = "";
}

const say = (words) => {
  part("state").textContent = words;
};

function ask(request) {
  const open = socket?.readyState === WebSocket.OPEN;
  part("error").textContent = open ? "" : "not sent: there is no connection";
  if (open) socket.send(JSON.stringify(request));
  return open;
}

function on(form, work) {
  part(form).onsubmit = (event) => {
    event.preventDefault();
    work();
  };
}

on("login", async () => {
  const button = part("login").querySelector("button");
  if (button.disabled) return; // Enter was held down
  button.disabled = true;
  try {
    await logIn(part("name").value, part("password").value);
  } catch (error) {
    part("error").textContent = error.message;
  }
  part("password").value = "";
  button.disabled = false;
});
on("talk", () => {
  if (ask({ type: "say", room, text: part("text").value })) part("text").value = "";
});
on("expel", () => {
  if (ask({ type: "expel", room, who: part("who").value })) part("who").value = "";
});
part("leave").onclick = () => ask({ type: "log out" });
setInterval(() => {
  if (part("inside").hidden) return;
  const minutes = Math.max(0, (until - Date.now()) / 60_000);
  part("leave").title = `the session ends in ${minutes.toFixed(0)} minutes`;
}, 1000);
if (sessionStorage.getItem("in")) connect();
