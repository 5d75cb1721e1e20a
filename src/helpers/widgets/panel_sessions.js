// A panel's conversation as its page knows it: held by the kernel, or by the page itself.

import { isThisMachine, reached, throughProxy } from "./shared.js";

export const SHOWN = 200;
const LONGEST_LINE = 400;
const UPDATE_MS = 50;
const BATCH_BYTES = 2 ** 20;
const KERNEL_BUSY_MS = 400;
const HELLO_MS = 2000;

export function kernelSession(model) {
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
    if (model.get("_view").heard.includes(asked)) {
      clearTimeout(late);
      late = null;
    }
    changed();
  });
  model.on("comm_live_update", () => setTimeout(() => ask({ do: "look" })));
  return {
    held: "the kernel",
    shown() {},
    acts: () => true,
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

// A notebook may be open in several pages, and each has this model. The kernel names the one that acts: it alone
// obeys, and the others show what the kernel knows of it.
export function browserSession(model) {
  const me = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  const listeners = new Set();
  const view = { state: "closed", detail: "not connected yet", sent: 0, received: 0, first: 0, log: [] };
  let socket = null;
  let route = "";
  let batch = { lines: [], buffers: [], bytes: 0, skipped: 0 };
  let armed = false;
  let ended = false;
  let gone = false;
  let acts = false;
  let greeting = null; // a timer, from when the panel is shown

  function tellKernel(content, buffers) {
    if (gone || reached(model, { ...content, page: me }, undefined, buffers)) return;
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
    tellKernel({ do: "batch", lines, skipped }, buffers);
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
  function enter(state, detail = "", asks = "") {
    Object.assign(view, { state, detail });
    flush();
    tellKernel({ do: "state", state, detail, route, asks });
    changed();
  }
  function begin() {
    acts = true;
    const known = model.get("_view");
    Object.assign(view, known, { log: [...known.log] });
  }
  function open(address, ways) {
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
        open(address, ways);
        return;
      }
      const reason = event.reason ? ` (${event.reason})` : "";
      log("event", `closed: ${event.code}${reason}`);
      const nobody = !opened && view.state !== "closing";
      const deaf = opened && event.code === 1006 && way.proxied && view.received === before;
      let detail = `${event.code}${reason}`;
      if (nobody) detail = `${event.code}: no connection ${way.words}`;
      else if (deaf) detail = `${event.code}: the connection broke before a message came ${way.words}`;
      enter("closed", detail, nobody || deaf ? address : ""); // a browser is not told why; the kernel may know
    };
  }
  const session = {
    held: "this page",
    shown() {
      if (greeting !== null) return;
      tellKernel({ do: "hello" });
      greeting = setInterval(() => acts || tellKernel({ do: "hello" }), HELLO_MS);
    },
    acts: () => acts,
    gone: () => gone,
    view: () => (acts ? view : model.get("_view")),
    waits: () => false,
    route: () => route,
    listen(callback) {
      listeners.add(callback);
      return () => listeners.delete(callback);
    },
    connect(url) {
      if (socket !== null) return;
      if (!acts) begin();
      open(url, waysTo(url, model.get("_mode")));
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
      clearInterval(greeting);
      leave();
    },
  };
  function leave() {
    const closing = socket;
    socket = null;
    closing?.close(1000);
  }
  model.on("change:_view", () => acts || changed());
  model.on("change:_acting", () => {
    if (model.get("_acting") === me) {
      if (!acts) begin();
    } else if (acts) {
      acts = false;
      batch = { lines: [], buffers: [], bytes: 0, skipped: 0 };
      leave();
    }
    changed();
  });
  model.on("msg:custom", (content, buffers) => {
    if (!acts) return;
    if (content.do === "answer") tellKernel({ do: "here" });
    else if (content.do === "connect") session.connect(content.url);
    else if (content.do === "disconnect") session.disconnect();
    else if (content.do === "send") session.send(content.text ?? buffers[0]);
    else if (content.do === "explain" && view.state === "closed") {
      view.detail = content.detail;
      changed();
    }
  });
  model.on("comm_live_update", () => setTimeout(tellKernel, 0, { do: "here" }));
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
