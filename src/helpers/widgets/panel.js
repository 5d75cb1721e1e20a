// A client's panel. The conversation is held by the kernel ("kernel") or by this page ("browser");
// the view below is the same for both. What a peer sends is only ever set as text, never as HTML.

import { KERNEL_GONE, isThisMachine, make, reached, say, throughProxy } from "./shared.js";

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
  const listeners = new Set();
  const changed = () => {
    for (const listener of listeners) listener();
  };
  let asked = Date.now(); // a number that an earlier page has not used
  let late = null; // a timer, while an answer is due; true, when it is overdue
  let gone = false;

  // The view tells the number of the last wish that the kernel has heard: a busy kernel hears nothing.
  function ask(wish) {
    asked += 1;
    gone = !reached(model, { ...wish, number: asked });
    if (gone) changed();
    if (gone || late !== null) return;
    late = setTimeout(() => {
      late = true;
      changed();
    }, KERNEL_BUSY_MS);
  }
  model.on("change:_view", () => {
    if (model.get("_view").heard === asked) {
      clearTimeout(late);
      late = null;
    }
    changed();
  });
  model.on("comm_live_update", () => setTimeout(() => ask({ do: "look" })));
  return {
    held: "the kernel",
    gone: () => gone,
    view: () => model.get("_view"),
    waits: () => late === true,
    route: () => "",
    listen(callback) {
      listeners.add(callback);
      return () => listeners.delete(callback);
    },
    connect: (url) => ask({ do: "connect", url }),
    disconnect: () => ask({ do: "disconnect" }),
    send: (text) => ask({ do: "send", text }),
    end() {},
  };
}

function browserSession(model) {
  const listeners = new Set();
  const view = { state: "closed", detail: "not connected yet", sent: 0, received: 0, first: 0, log: [] };
  let socket = null;
  let route = "";
  let batch = { lines: [], buffers: [], bytes: 0, skipped: 0 };
  let armed = false;
  let ended = false;
  let gone = false;

  function tellKernel(...message) {
    if (gone || reached(model, ...message)) return;
    gone = true;
    socket?.close(1000); // its counters would stand still, and nobody could stop it
    changed();
  }

  function changed() {
    if (armed || ended) return;
    armed = true;
    setTimeout(() => {
      armed = false;
      if (ended) return;
      flush();
      for (const listener of listeners) listener();
    }, UPDATE_MS);
  }
  function flush() {
    if (!batch.lines.length && !batch.skipped) return;
    const { lines, buffers, skipped } = batch;
    batch = { lines: [], buffers: [], bytes: 0, skipped: 0 };
    tellKernel({ do: "batch", lines, skipped }, undefined, buffers);
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
    view.log.push([Date.now() / 1000, direction, asText(data)]);
    if (view.log.length > 2 * SHOWN) view.first += view.log.splice(0, view.log.length - SHOWN).length;
    changed();
  }
  function enter(state, detail = "") {
    Object.assign(view, { state, detail });
    flush();
    tellKernel({ do: "state", state, detail, route });
    changed();
  }
  function open(ways) {
    const way = ways.shift();
    route = way.words;
    enter("connecting");
    if (gone) return;
    let opened = false;
    const before = view.received;
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
      if (socket !== mine) return;
      opened = true;
      log("event", `connected ${way.words}`);
      enter("open");
    };
    mine.onmessage = (event) => {
      if (socket === mine) log("received", event.data);
    };
    mine.onclose = (event) => {
      if (socket !== mine) return;
      socket = null;
      if (!opened && ways.length && view.state !== "closing") {
        log("event", `no connection ${way.words}`);
        open(ways);
        return;
      }
      const reason = event.reason ? ` (${event.reason})` : "";
      log("event", `closed: ${event.code}${reason}`);
      const nobody = !opened && view.state !== "closing";
      const deaf = opened && event.code === 1006 && way.proxied && view.received === before;
      let detail = `${event.code}${reason}`;
      if (nobody) detail = `${event.code}: nobody answered ${way.words}`;
      else if (deaf) detail = `${event.code}: nobody listens behind Jupyter's proxy, or it broke off`;
      enter("closed", detail);
    };
  }
  const session = {
    held: "this page",
    gone: () => gone,
    view: () => view,
    waits: () => false,
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
      if (socket?.readyState !== WebSocket.OPEN) {
        log("event", `not connected (${view.state}): press Connect`);
        return;
      }
      socket.send(data);
      log(
        "sent",
        typeof data === "string" ? data : data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength),
      );
    },
    end() {
      ended = true;
      const closing = socket;
      socket = null;
      closing?.close(1000);
    },
  };
  model.on("msg:custom", (content, buffers) => {
    if (content.do === "connect") session.connect(content.url);
    else if (content.do === "disconnect") session.disconnect();
    else if (content.do === "send") session.send(content.text ?? buffers[0]);
    else if (content.do === "restore" && socket === null && !view.log.length) {
      Object.assign(view, content.view, { state: "closed" });
      changed();
    }
  });
  model.on("comm_live_update", () => setTimeout(tellKernel, 0, { do: "batch", lines: [], skipped: 0 }));
  tellKernel({ do: "hello" });
  return session;
}

// The ways from this page to the kernel's server, the one to try first at the front.
function waysTo(address, mode) {
  const direct = { url: address, words: "directly" };
  const through = mode === "direct" || !URL.canParse(address) ? null : throughProxy(address);
  if (through === null) return [direct];
  through.protocol = through.protocol.replace("http", "ws");
  const proxy = { url: through.href, words: "through Jupyter's proxy", proxied: true };
  return isThisMachine(location.hostname) ? [proxy, direct] : [proxy];
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
  const state = make("span", "wsbook-state", { role: "status" });
  const counts = make("span", "wsbook-counts");
  const address = make("input", "wsbook-address", {
    "aria-label": `${name}: address of the server`,
    spellcheck: "false",
  });
  const toggle = make("button", "wsbook-button wsbook-connect", { type: "submit" });
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
  const send = make("button", "wsbook-button wsbook-send", { type: "submit" }, "Send");
  const route = make("div", "wsbook-route");
  const top = make("form", "wsbook-row", {}, address, toggle);
  const bottom = make("form", "wsbook-row", {}, text, send);
  const head = make("div", "wsbook-head", {}, make("span", "wsbook-name", {}, name), state, counts);
  const panel = make("div", "wsbook wsbook-panel", { role: "group", "aria-label": `WebSocket client ${name}` });
  for (const node of [toggle, log, send]) node.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes Enter
  panel.append(head, top, log, bottom, route);
  el.classList.add("wsbook-widget");
  el.replaceChildren(panel);

  let first = 0; // the number of the oldest line that is drawn
  let drawn = 0;
  let follows = true; // the newest line, until a person scrolls up
  const keepUp = () => {
    if (follows) log.scrollTop = log.scrollHeight;
  };
  log.addEventListener("scroll", () => {
    follows = log.scrollHeight - log.scrollTop - log.clientHeight < 12;
  });
  const resized = new ResizeObserver(keepUp);
  resized.observe(log);

  function line([at, direction, words]) {
    const time = make("time", "", {}, clock(at));
    const arrow = make("span", "wsbook-arrow", { "aria-hidden": "true" }, ARROWS[direction]);
    const spoken = make("span", "wsbook-spoken", {}, direction === "event" ? "" : `${direction}: `);
    const shown = make("span", "wsbook-text-of");
    shown.textContent = words;
    return make("div", `wsbook-line wsbook-${direction}`, {}, time, arrow, spoken, shown);
  }
  function update() {
    const view = session.view();
    const shown = view.log.slice(-SHOWN);
    const start = view.first + view.log.length - shown.length;
    const kept = Math.max(0, first + drawn - start);
    const fresh = shown.slice(kept);
    log.setAttribute("aria-busy", fresh.length > 10 ? "true" : "false");
    if (kept === 0) log.replaceChildren();
    while (log.children.length > kept) log.firstElementChild.remove();
    log.append(...fresh.map(line));
    [first, drawn] = [start, shown.length];
    if (drawn === 0) log.append(make("div", "wsbook-empty", {}, "No messages yet."));
    keepUp();

    const gone = session.gone();
    const open = view.state === "open" && !gone;
    const away = view.state === "closed" || gone;
    const waits = session.waits() && !gone;
    const detail = gone ? KERNEL_GONE : view.detail;
    const failed = gone || (away && view.log.length > 0 && !/^100[015]/.test(detail));
    state.dataset.state = waits ? "connecting" : failed ? "failed" : view.state;
    if (waits) say(state, "waiting: the kernel is busy");
    else say(state, away ? `closed${detail && `: ${detail}`}` : view.state);
    say(counts, `${view.sent.toLocaleString("en")} sent, ${view.received.toLocaleString("en")} received`);
    say(toggle, away ? "Connect" : "Disconnect");
    toggle.setAttribute("aria-disabled", gone || view.state === "closing");
    send.setAttribute("aria-disabled", !open);
    address.readOnly = !away || gone;
    say(route, session.route() && open ? `Connected by ${session.held}, ${session.route()}.` : "");
  }
  for (const [field, form] of [
    [address, top],
    [text, bottom],
  ]) {
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
  }
  top.addEventListener("submit", (event) => {
    event.preventDefault();
    const { state } = session.view();
    if (state === "closed") session.connect(address.value.trim());
    else if (state !== "closing") session.disconnect();
  });
  bottom.addEventListener("submit", (event) => {
    event.preventDefault();
    if (text.value === "" || session.view().state !== "open") return; // what is written stays
    session.send(text.value);
    if (!session.gone()) text.value = "";
  });
  const readdress = () => {
    address.value = model.get("_address");
  };
  model.on("change:_address", readdress);
  const hush = session.listen(update);
  readdress();
  update();
  return () => {
    hush();
    resized.disconnect();
    model.off("change:_address", readdress);
  };
}

function clock(seconds) {
  const date = new Date(seconds * 1000);
  const pad = (number, width) => String(number).padStart(width, "0");
  return `${pad(date.getHours(), 2)}:${pad(date.getMinutes(), 2)}:${pad(date.getSeconds(), 2)}.${pad(date.getMilliseconds(), 3)}`;
}
