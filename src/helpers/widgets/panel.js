// A client's panel. The conversation is held by the kernel ("kernel") or by this page ("browser");
// the view below is the same for both. What a peer sends is only ever set as text, never as HTML.

const SHOWN = 200;
const LONGEST_LINE = 400;
const UPDATE_MS = 50;
const BATCH_BYTES = 2 ** 20;
const KERNEL_BUSY_MS = 400;

export default () => {
  let session;
  return {
    initialize({ model }) {
      session = model.get("_kind") === "browser" ? browserSession(model) : kernelSession(model);
      return () => session.end();
    },
    render({ model, el }) {
      return draw(session, model, el);
    },
  };
};

// ---- who holds the conversation ------------------------------------------------------------

function kernelSession(model) {
  return {
    held: "the kernel",
    view: () => model.get("_view"),
    route: () => "",
    listen(callback) {
      model.on("change:_view", callback);
      return () => model.off("change:_view", callback);
    },
    connect: (url) => model.send({ do: "connect", url }),
    disconnect: () => model.send({ do: "disconnect" }),
    send: (text) => model.send({ do: "send", text }),
    end() {},
  };
}

function browserSession(model) {
  const listeners = new Set();
  const view = { state: "closed", detail: "not connected yet", sent: 0, received: 0, first: 0, lines: [] };
  let socket = null;
  let route = "";
  let batch = { lines: [], buffers: [], bytes: 0, skipped: 0 };
  let armed = false;

  function changed() {
    if (armed) return;
    armed = true;
    setTimeout(() => {
      armed = false;
      flush();
      listeners.forEach((listener) => listener());
    }, UPDATE_MS);
  }
  function flush() {
    if (!batch.lines.length && !batch.skipped) return;
    const { lines, buffers, skipped } = batch;
    batch = { lines: [], buffers: [], bytes: 0, skipped: 0 };
    model.send({ do: "batch", lines, skipped }, undefined, buffers);
  }
  function log(direction, data) {
    if (direction !== "event") view[direction] += 1;
    const size = typeof data === "string" ? data.length : data.byteLength;
    if (direction === "received" && batch.bytes + size > BATCH_BYTES && batch.lines.length) {
      batch.skipped += 1;
    } else {
      batch.bytes += size;
      batch.lines.push([direction, typeof data === "string" ? data : null]);
      if (typeof data !== "string") batch.buffers.push(data);
    }
    view.lines.push([Date.now() / 1000, direction, asText(data)]);
    if (view.lines.length > 2 * SHOWN) view.first += view.lines.splice(0, view.lines.length - SHOWN).length;
    changed();
  }
  function enter(state, detail = "") {
    Object.assign(view, { state, detail });
    flush();
    model.send({ do: "state", state, detail, route });
    changed();
  }
  function open(ways) {
    const way = ways.shift();
    route = way.words;
    enter("connecting");
    let opened = false;
    try {
      socket = new WebSocket(way.url);
    } catch (error) {
      log("event", error.message);
      enter("closed", `${way.url} is not a WebSocket address`);
      return;
    }
    const mine = socket;
    mine.binaryType = "arraybuffer";
    mine.onopen = () => {
      opened = true;
      log("event", `connected ${way.words}`);
      enter("open");
    };
    mine.onmessage = (event) => log("received", event.data);
    mine.onclose = (event) => {
      if (socket !== mine) return;
      socket = null;
      if (!opened && ways.length) {
        log("event", `no connection ${way.words}`);
        open(ways);
        return;
      }
      const reason = event.reason ? ` (${event.reason})` : "";
      log("event", `closed: ${event.code}${reason}`);
      enter("closed", opened ? `${event.code}${reason}` : `${event.code}: nobody answered ${way.words}`);
    };
  }
  const session = {
    held: "this page",
    view: () => view,
    route: () => route,
    listen(callback) {
      listeners.add(callback);
      return () => listeners.delete(callback);
    },
    connect(url) {
      if (socket === null) open(waysTo(url, model.get("_mode")));
    },
    disconnect() {
      if (socket === null) return;
      enter("closing");
      socket.close(1000);
    },
    send(data) {
      if (view.state !== "open") {
        log("event", `not connected (${view.state}): press Connect`);
        return;
      }
      socket.send(data);
      log("sent", typeof data === "string" ? data : data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
    },
    end() {
      const closing = socket;
      socket = null;
      closing?.close(1000);
    },
  };
  model.on("msg:custom", (content, buffers) => {
    if (content.do === "connect") session.connect(content.url);
    else if (content.do === "disconnect") session.disconnect();
    else if (content.do === "send") session.send(content.text ?? buffers[0]);
    else if (content.do === "restore" && socket === null && !view.lines.length) {
      Object.assign(view, content.view, { state: "closed" });
      changed();
    }
  });
  model.send({ do: "hello" });
  return session;
}

// Where this page reaches the kernel's server. Jupyter pages say below which address they live.
function waysTo(address, mode) {
  const direct = { url: address, words: "directly" };
  const base = jupyterBaseUrl();
  let server;
  try {
    server = new URL(address);
  } catch {
    return [direct];
  }
  if (mode === "direct" || base === null || !isThisMachine(server.hostname)) return [direct];
  const through = new URL(`${base.replace(/\/?$/, "/")}proxy/${server.port}${server.pathname}`, location.href);
  through.protocol = through.protocol.replace("http", "ws");
  through.search = server.search;
  const proxy = { url: through.href, words: "through Jupyter's proxy" };
  return isThisMachine(location.hostname) ? [proxy, direct] : [proxy];
}

function jupyterBaseUrl() {
  const element = document.getElementById("jupyter-config-data");
  const base = element ? JSON.parse(element.textContent || "{}").baseUrl : null;
  return base ?? document.body.dataset.baseUrl ?? null;
}

function isThisMachine(host) {
  return ["127.0.0.1", "localhost", "[::1]"].includes(host);
}

function asText(data) {
  if (typeof data === "string") {
    return data.length <= LONGEST_LINE
      ? data
      : `${data.slice(0, LONGEST_LINE)}… (${data.length.toLocaleString("en")} characters)`;
  }
  const bytes = new Uint8Array(data, 0, Math.min(24, data.byteLength));
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `${data.byteLength.toLocaleString("en")} bytes: ${hex}${data.byteLength > 24 ? "…" : ""}`;
}

// ---- what a person sees --------------------------------------------------------------------

const ARROWS = { sent: "→", received: "←", event: "·" };

function draw(session, model, el) {
  const name = model.get("name");
  const make = (tag, cls, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    if (cls) node.className = cls;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const state = make("span", "wsbook-state", { role: "status" });
  const counts = make("span", "wsbook-counts");
  const address = make("input", "wsbook-address", { "aria-label": `${name}: address of the server`, spellcheck: "false" });
  const toggle = make("button", "wsbook-connect", { type: "submit" });
  const log = make("div", "wsbook-log", {
    role: "log",
    tabindex: "0",
    "aria-label": `${name}: messages`,
  });
  const text = make("input", "wsbook-text", {
    "aria-label": `${name}: message to send`,
    placeholder: "Type a message and press Enter",
    autocomplete: "off",
  });
  const send = make("button", "wsbook-send", { type: "submit" }, "Send");
  const route = make("div", "wsbook-route");
  const top = make("form", "wsbook-row", {}, address, toggle);
  const bottom = make("form", "wsbook-row", {}, text, send);
  const head = make("div", "wsbook-head", {}, make("span", "wsbook-name", {}, name), state, counts);
  const panel = make("div", "wsbook-panel", { role: "group", "aria-label": `WebSocket client ${name}` });
  for (const node of [toggle, log, send]) node.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes Enter
  panel.append(head, top, log, bottom, route);
  el.classList.add("wsbook-widget");
  el.replaceChildren(panel);

  let first = 0; // the number of the oldest line that is drawn
  let drawn = 0;
  let asked = null;

  function line([at, direction, words]) {
    const time = make("time", "", {}, clock(at));
    const arrow = make("span", "wsbook-arrow", { "aria-hidden": "true" }, ARROWS[direction]);
    const spoken = make("span", "wsbook-hidden", {}, direction === "event" ? "" : `${direction}: `);
    const shown = make("span", "wsbook-text-of");
    shown.textContent = words;
    return make("div", `wsbook-line wsbook-${direction}`, {}, time, arrow, spoken, shown);
  }
  function update() {
    const view = session.view();
    const shown = view.lines.slice(-SHOWN);
    const start = view.first + view.lines.length - shown.length;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 12;
    const kept = Math.max(0, first + drawn - start);
    const fresh = shown.slice(kept);
    log.setAttribute("aria-busy", fresh.length > 10 ? "true" : "false");
    if (kept === 0) log.replaceChildren();
    while (log.children.length > kept) log.firstElementChild.remove();
    log.append(...fresh.map(line));
    [first, drawn] = [start, shown.length];
    if (drawn === 0) log.append(make("div", "wsbook-empty", {}, "No messages yet."));
    if (atEnd) log.scrollTop = log.scrollHeight;

    const open = view.state === "open";
    const away = view.state === "closed";
    const failed = away && view.lines.length > 0 && !/^(1000|1001|1005)/.test(view.detail);
    state.dataset.state = failed ? "failed" : view.state;
    if (asked !== null && view.sent + events(view) !== asked) asked = null;
    state.textContent = view.state + (away && view.detail ? `: ${view.detail}` : "");
    counts.textContent = `${view.sent.toLocaleString("en")} sent, ${view.received.toLocaleString("en")} received`;
    toggle.textContent = away ? "Connect" : "Disconnect";
    toggle.disabled = view.state === "closing";
    send.disabled = !open;
    address.readOnly = !away;
    route.textContent = session.route() && !away ? `Connected by ${session.held}, ${session.route()}.` : "";
  }
  function ask(action) {
    const view = session.view();
    asked = view.sent + events(view);
    action();
    setTimeout(() => {
      if (asked !== null && session.held === "the kernel") {
        state.textContent = "waiting: the kernel is busy with a cell";
        state.dataset.state = "connecting";
      }
    }, KERNEL_BUSY_MS);
  }
  for (const [field, form] of [[address, top], [text, bottom]]) {
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
  }
  top.addEventListener("submit", (event) => {
    event.preventDefault();
    ask(() => (session.view().state === "closed" ? session.connect(address.value.trim()) : session.disconnect()));
  });
  bottom.addEventListener("submit", (event) => {
    event.preventDefault();
    if (text.value === "") return;
    const words = text.value;
    text.value = "";
    ask(() => session.send(words));
  });
  const readdress = () => (address.value = model.get("_address"));
  model.on("change:_address", readdress);
  const hush = session.listen(update);
  readdress();
  update();
  requestAnimationFrame(() => (log.scrollTop = log.scrollHeight));
  return () => {
    hush();
    model.off("change:_address", readdress);
  };
}

function events(view) {
  return view.first + view.lines.length - view.sent - view.received;
}

function clock(seconds) {
  const date = new Date(seconds * 1000);
  const pad = (number, width) => String(number).padStart(width, "0");
  return `${pad(date.getHours(), 2)}:${pad(date.getMinutes(), 2)}:${pad(date.getSeconds(), 2)}.${pad(date.getMilliseconds(), 3)}`;
}
