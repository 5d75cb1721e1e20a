// A client's panel. The conversation is held by the kernel ("kernel") or by this page ("browser");
// the view below is the same for both. What a peer sends is only ever set as text, never as HTML.

import { browserSession, kernelSession, SHOWN } from "./panel_sessions.js";
import { KERNEL_GONE, leaveOnEscape, make, say } from "./shared.js";

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
    placeholder: "Type and press Enter",
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
  leaveOnEscape(panel);

  let acted = false;
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
    if (acted !== session.acts()) [acted, first, drawn] = [!acted, 0, 0]; // the lines may be numbered otherwise
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
    const elsewhere = !acted && view.state !== "closed" && !gone; // another page is connected
    const open = view.state === "open" && !gone && !elsewhere;
    const away = view.state === "closed" || gone;
    const waits = session.waits() && !gone;
    const detail = gone ? KERNEL_GONE : view.detail;
    const failed = gone || (away && view.log.length > 0 && !/^100[015]/.test(detail));
    state.dataset.state = waits ? "connecting" : failed ? "failed" : view.state;
    if (waits) say(state, "waiting: the kernel is busy");
    else if (elsewhere) say(state, `${view.state} in another tab`);
    else say(state, away ? `closed${detail && `: ${detail}`}` : view.state);
    say(counts, `${view.sent.toLocaleString("en")} sent, ${view.received.toLocaleString("en")} received`);
    say(toggle, elsewhere ? "Connect here" : away ? "Connect" : "Disconnect");
    toggle.setAttribute("aria-disabled", gone || (acted && view.state === "closing"));
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
    if (state === "closed" || !session.acts()) session.connect(address.value.trim());
    else if (state !== "closing") session.disconnect();
  });
  bottom.addEventListener("submit", (event) => {
    event.preventDefault();
    if (text.value === "" || !session.acts()) return;
    const open = session.view().state === "open";
    session.send(text.value); // which says why not; what is written stays then
    if (open && !session.gone()) text.value = "";
  });
  const readdress = () => {
    address.value = model.get("_address");
  };
  model.on("change:_address", readdress);
  const hush = session.listen(update);
  readdress();
  update();
  session.shown();
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
