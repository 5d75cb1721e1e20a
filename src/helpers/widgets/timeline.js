// The wire timeline: a sequence diagram that is opened arrow by arrow.
// What a peer has sent is only ever set as text, never as HTML.

import { KERNEL_GONE, leaveOnEscape, make, reached, say } from "./shared.js";
import { count, detail, plural } from "./timeline_detail.js";
import { folded, foldedDetail } from "./timeline_fold.js";

const DRAWN = 300;
const DRAWN_A_FRAME = 50;
const GAP_MS = 500;
const KERNEL_BUSY_MS = 600;
const CONTROL = new Set(["ping", "pong", "close", "keepalive"]);
const NEAR_END = 24; // pixels
const ROOM_FOR_32_BITS = 680; // pixels

export default () => ({
  render({ model, el }) {
    return draw(model, el);
  },
});

const BLANK = make(
  "div",
  "wsbook-wire-row",
  { role: "listitem" },
  make(
    "button",
    "wsbook-wire-arrow",
    { type: "button", tabindex: "-1", "aria-expanded": "false" },
    make("span", "wsbook-wire-at"),
    make("span", "wsbook-wire-chip", {}, make("span", "wsbook-spoken", {}, "connection ")),
    make(
      "span",
      "wsbook-wire-lane",
      {},
      make(
        "span",
        "wsbook-wire-label",
        {},
        make("span", "wsbook-spoken"),
        make("b", "wsbook-wire-what"),
        make("span", "wsbook-wire-note"),
      ),
      make("span", "wsbook-wire-line", { "aria-hidden": "true" }),
    ),
    make("span", "wsbook-wire-size", {}, make("span"), make("span", "wsbook-spoken")),
  ),
);

// ---- the diagram ---------------------------------------------------------------------------

function draw(model, el) {
  const control = make("input", "", { type: "checkbox" });
  control.checked = true;
  const which = make("select", "wsbook-wire-which", { "aria-label": "Which connection" });
  const pause = make("button", "wsbook-button wsbook-wire-pause", { type: "button", "aria-pressed": "false" }, "Pause");
  const clear = make("button", "wsbook-button wsbook-wire-clear", { type: "button" }, "Clear");
  const figures = make("span", "wsbook-wire-figures");
  const earlier = make("button", "wsbook-button wsbook-wire-earlier", { type: "button" });
  const newest = make("button", "wsbook-button wsbook-wire-newest", { type: "button" });
  const older = make("div", "wsbook-wire-leaf", {}, earlier);
  const newer = make("div", "wsbook-wire-leaf", {}, newest);
  const list = make("div", "wsbook-wire-rows", { role: "list", "aria-label": "Messages, oldest first" });
  const empty = make("div", "wsbook-wire-empty", {}, "Nothing on the wire yet.");
  const ends = make(
    "div",
    "wsbook-wire-ends",
    { "aria-hidden": "true" },
    make("span", "wsbook-wire-at", {}, "ms"),
    make("span", "wsbook-wire-chip"),
    make("span", "wsbook-wire-peers", {}, make("b", "", {}, "Client"), make("b", "", {}, "Server")),
    make("span", "wsbook-wire-size", {}, "bytes"),
  );
  const follow = make("button", "wsbook-button wsbook-wire-follow", { type: "button" }, "newest ↓");
  const scroller = make("div", "wsbook-wire-scroller", {}, ends, older, list, empty, newer);
  const tools = make(
    "div",
    "wsbook-wire-tools",
    {},
    follow,
    make("label", "", {}, control, "control frames"),
    which,
    pause,
    clear,
  );
  const head = make(
    "div",
    "wsbook-head wsbook-wire-head",
    {},
    make("span", "wsbook-name", {}, "On the wire"),
    figures,
    tools,
  );
  const panel = make(
    "div",
    "wsbook wsbook-wire",
    { role: "group", "aria-label": "Timeline of the wire" },
    head,
    scroller,
  );
  panel.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes Enter and the arrow keys
  el.classList.add("wsbook-wire-widget");
  el.replaceChildren(panel);
  leaveOnEscape(panel);

  let latest = JSON.parse(model.get("_view"));
  let frozen = null; // what is shown while paused
  let leaf = null; // older rows from the kernel, instead of the newest
  let cleared = 0; // here already, in the kernel perhaps not yet
  let changes = true; // the kernel has sent a view that has not been read
  let drawing = 0;
  let asking = 0; // for the rows before this one
  let current = null; // the row that the Tab key reaches
  let follows = true; // the end, until the reader scrolls away from it
  let put = 0; // where this script has scrolled to
  let zero = null; // the time that is shown as 0, in milliseconds
  const drawn = new Map(); // number -> { row, node }

  const shownRows = () => folded(leaf ?? (frozen ?? latest).rows.filter((row) => row.n > cleared));
  const isOpen = () => list.querySelector("[aria-expanded=true]") !== null;

  function toEnd() {
    scroller.scrollTop = scroller.scrollHeight;
    put = scroller.scrollTop;
    follows = true;
    follow.style.visibility = "hidden"; // it keeps its place: nothing may move under a click
  }

  // Draws what is new, the newest first and some rows a frame, so that a flood leaves the page fluid.
  function update() {
    cancelAnimationFrame(drawing);
    drawing = 0;
    if (changes) {
      changes = false;
      latest = JSON.parse(model.get("_view"));
      cleared = Math.max(cleared, latest.cleared);
    }
    const rows = shownRows();
    const start = cleared > latest.cleared ? (rows[0]?.ms ?? 0) : latest.zero;
    const moved = start !== zero;
    zero = start;
    const first = rows.length ? rows[0].n : Infinity;
    const last = rows.length ? rows.at(-1).n : -Infinity;
    const numbers = new Set(rows.map((row) => row.n));
    undraw((number) => !numbers.has(number));
    rows.filter((row) => row.members).forEach(redraw);
    const busy = isOpen();
    let newer = rows.filter((row) => row.n > newestDrawn());
    if (newer.length > DRAWN_A_FRAME) {
      if (!busy) undraw(() => true);
      newer = busy ? newer.slice(0, DRAWN_A_FRAME) : newer.slice(-DRAWN_A_FRAME);
    }
    list.append(...newer.map(drawRow));
    const left = DRAWN_A_FRAME - newer.length;
    const older = left > 0 ? rows.filter((row) => row.n < oldestDrawn()).slice(-left) : [];
    list.prepend(...older.map(drawRow));
    if (newer.length + older.length || moved) sift();
    if (!drawn.has(current) && list.firstElementChild) reach(oldestDrawn());
    showFigures(rows, first, last);
    if (follows && frozen === null && leaf === null && !busy) toEnd();
    else if (newer.length) showFollow();
    if (drawn.size < rows.length) drawing = requestAnimationFrame(update);
  }

  const oldestDrawn = () => Number(list.firstElementChild?.dataset.number ?? Infinity);
  const newestDrawn = () => Number(list.lastElementChild?.dataset.number ?? -Infinity);

  function drawRow(row) {
    const node = rowNode(row);
    drawn.set(row.n, { row, node });
    return node;
  }

  // A folded row gets more members while it is drawn.
  function redraw(row) {
    const known = drawn.get(row.n);
    if (!known || known.row.members?.length === row.members.length) return;
    const node = rowNode(row);
    if (known.node.firstElementChild.getAttribute("aria-expanded") === "true") toggle(node, true, row);
    known.node.replaceWith(node);
    drawn.set(row.n, { row, node });
    if (current === row.n) reach(row.n);
  }

  function showFollow() {
    const left = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
    follow.style.visibility = left < NEAR_END || leaf !== null ? "hidden" : "";
  }

  function undraw(which) {
    for (const [number, { node }] of drawn) {
      if (!which(number)) continue;
      node.remove();
      drawn.delete(number);
    }
  }

  function showFigures(rows, first, last) {
    const view = latest;
    const hidden = Math.max(0, first - Math.max(view.first, cleared + 1));
    const waiting = view.count - Math.max(last, cleared, 0);
    earlier.textContent = `Show ${count(Math.min(DRAWN, hidden))} earlier of ${count(hidden)}`;
    older.hidden = !rows.length || hidden === 0;
    newest.textContent = leaf ? "Back to the newest" : "";
    newer.hidden = leaf === null;
    empty.hidden = rows.length > 0;
    const frames = view.frames[0] + view.frames[1];
    const news = frozen && waiting > 0 ? `paused, ${plural(waiting, "new event")} · ` : frozen ? "paused · " : "";
    figures.textContent =
      `${news}${plural(frames, "frame")} · ` + `→ ${count(view.bytes[0])} B · ← ${count(view.bytes[1])} B`;
    panel.dataset.several = String(view.connections > 1);
    which.hidden = view.connections < 2;
    while (which.options.length < Math.min(view.connections, 200) + 1) {
      const number = which.options.length;
      which.append(new Option(number ? `connection ${number}` : "all connections", number || ""));
    }
  }

  // Rows that the filters take away stay in the document; the pauses between those that are left are shown.
  function sift() {
    let before = null;
    for (const node of list.children) {
      const { row } = drawn.get(Number(node.dataset.number));
      say(node.querySelector(".wsbook-wire-at"), (row.ms - zero).toFixed(1));
      const hidden =
        (!control.checked && CONTROL.has(row.kind)) || (which.value !== "" && row.c !== Number(which.value));
      if (node.hidden !== hidden) node.hidden = hidden;
      if (hidden) continue;
      const gap = before === null ? 0 : row.ms - before;
      if (gap >= GAP_MS) node.dataset.gap = `${(gap / 1000).toFixed(1)} s`;
      else if (node.dataset.gap) delete node.dataset.gap;
      before = row.ms;
    }
  }

  function rowNode(row) {
    const node = BLANK.cloneNode(true);
    const [at, chip, lane, bytes] = node.firstElementChild.children;
    const [spoken, what, note] = lane.firstElementChild.children;
    at.textContent = (row.ms - zero).toFixed(1);
    chip.dataset.hue = String(row.c % 6);
    chip.append(String(row.c));
    spoken.textContent = `${row.n - cleared}, ${row.up ? "from client to server" : "from server to client"}: `;
    what.textContent = row.what;
    note.textContent = row.note;
    bytes.firstElementChild.textContent = row.size === null ? "" : count(row.size);
    bytes.lastElementChild.textContent = row.size === null ? "" : " bytes";
    Object.assign(node.dataset, { kind: row.kind, way: row.up ? "up" : "down", number: row.n });
    node.style.setProperty("--thick", `${thickness(row.size)}px`);
    return node;
  }

  function reach(number) {
    if (current !== null) drawn.get(current)?.node.firstElementChild.setAttribute("tabindex", "-1");
    current = number;
    drawn.get(number)?.node.firstElementChild.setAttribute("tabindex", "0");
  }

  function toggle(node, wanted, row = drawn.get(Number(node.dataset.number)).row) {
    const button = node.firstElementChild;
    const open = button.getAttribute("aria-expanded") === "true";
    if (open === wanted) return;
    button.setAttribute("aria-expanded", String(!open));
    if (open) {
      node.lastElementChild.remove();
      if (follows && !isOpen()) toEnd();
      return;
    }
    const opened = detail(row, scroller.clientWidth < ROOM_FOR_32_BITS ? 16 : 32);
    if (row.members) opened.replaceChildren(foldedDetail(row.members, zero));
    node.append(opened);
    requestAnimationFrame(() => {
      if (!node.isConnected) return;
      const [box, view] = [node.getBoundingClientRect(), scroller.getBoundingClientRect()];
      const top = view.top + ends.offsetHeight;
      if (box.bottom > view.bottom || box.top < top) scroller.scrollTop += Math.round(box.top - top);
      put = scroller.scrollTop;
    });
  }

  list.addEventListener("click", (event) => {
    const button = event.target.closest(".wsbook-wire-arrow");
    if (button === null) return;
    const node = button.parentElement;
    reach(Number(node.dataset.number));
    toggle(node, button.getAttribute("aria-expanded") !== "true");
  });
  list.addEventListener("keydown", (event) => {
    const node = event.target.closest(".wsbook-wire-row");
    if (node === null) return;
    if (event.key === "Escape") {
      if (node.firstElementChild.getAttribute("aria-expanded") !== "true") return;
      toggle(node, false);
      node.firstElementChild.focus();
    } else {
      const there = [...list.children].filter((child) => !child.hidden);
      const at = there.indexOf(node);
      const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: there.length - 1 };
      if (!(event.key in steps) || event.target !== node.firstElementChild) return;
      const next = there[Math.min(Math.max(steps[event.key], 0), there.length - 1)];
      reach(Number(next.dataset.number));
      next.firstElementChild.focus();
    }
    event.preventDefault();
    event.stopPropagation();
  });
  control.addEventListener("change", sift);
  which.addEventListener("change", sift);
  pause.addEventListener("click", () => {
    frozen = frozen === null ? latest : null;
    pause.textContent = frozen ? "Resume" : "Pause";
    pause.setAttribute("aria-pressed", String(frozen !== null));
    update();
  });
  clear.addEventListener("click", () => {
    cleared = latest.count;
    leaf = null;
    reached(model, { do: "clear", until: cleared }); // else the kernel has nothing to clear
    update();
  });
  earlier.addEventListener("click", () => {
    const before = shownRows()[0].n;
    asking = before;
    if (!reached(model, { do: "page", before })) {
      earlier.textContent = `Not available: ${KERNEL_GONE}`;
      return;
    }
    setTimeout(() => {
      if (asking === before) earlier.textContent = "Waiting: the kernel is busy with a cell";
    }, KERNEL_BUSY_MS);
  });
  newest.addEventListener("click", () => {
    leaf = null;
    update();
    toEnd();
  });
  follow.addEventListener("click", toEnd);
  scroller.addEventListener("scroll", () => {
    showFollow();
    if (Math.abs(scroller.scrollTop - put) < 2) return; // it was this script
    put = scroller.scrollTop;
    follows = follow.style.visibility === "hidden";
  });

  const changed = () => {
    changes = true;
    if (!drawing) drawing = requestAnimationFrame(update);
  };
  const paged = (content) => {
    if (content.do !== "page" || content.before !== asking) return; // another page may have asked
    asking = 0;
    const rows = JSON.parse(content.rows);
    if (!rows.length) return;
    leaf = rows;
    update();
    scroller.scrollTop = scroller.scrollHeight;
  };
  model.on("change:_view", changed);
  model.on("msg:custom", paged);
  update();
  requestAnimationFrame(toEnd);
  return () => {
    cancelAnimationFrame(drawing);
    model.off("change:_view", changed);
    model.off("msg:custom", paged);
  };
}

function thickness(bytes) {
  return bytes === null ? 2 : 2 + Math.min(5, Math.log10(Math.max(bytes, 10)) - 1);
}
