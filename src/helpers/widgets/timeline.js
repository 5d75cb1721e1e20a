// The wire timeline: a sequence diagram that is opened arrow by arrow.
// What a peer has sent is only ever set as text, never as HTML.

const DRAWN = 300;
const DRAWN_A_FRAME = 50;
const GAP_MS = 500;
const KERNEL_BUSY_MS = 600;
const MASKED_BYTES = 12;
const BYTES_A_LINE = 16;
const CONTROL = new Set(["ping", "pong", "close"]);

export default () => ({
  render({ model, el }) {
    return draw(model, el);
  },
});

function make(tag, cls, attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

const numerals = new Intl.NumberFormat("en");
const count = (number) => numerals.format(number);
const plural = (number, one) => `${count(number)} ${one}${number === 1 ? "" : "s"}`;

const BLANK = make(
  "div",
  "wsbook-wire-row",
  { role: "listitem" },
  make(
    "button",
    "wsbook-wire-arrow",
    { type: "button", tabindex: "-1", "aria-expanded": "false" },
    make("span", "wsbook-wire-at"),
    make("span", "wsbook-wire-chip", {}, make("span", "wsbook-wire-spoken", {}, "connection ")),
    make(
      "span",
      "wsbook-wire-lane",
      {},
      make(
        "span",
        "wsbook-wire-label",
        {},
        make("span", "wsbook-wire-spoken"),
        make("b", "wsbook-wire-what"),
        make("span", "wsbook-wire-note"),
      ),
      make("span", "wsbook-wire-line", { "aria-hidden": "true" }),
    ),
    make("span", "wsbook-wire-size", {}, make("span"), make("span", "wsbook-wire-spoken")),
  ),
);

// ---- the diagram ---------------------------------------------------------------------------

function draw(model, el) {
  const control = make("input", "", { type: "checkbox" });
  control.checked = true;
  const which = make("select", "wsbook-wire-which", { "aria-label": "Which connection" });
  const pause = make("button", "wsbook-wire-pause", { type: "button", "aria-pressed": "false" }, "Pause");
  const clear = make("button", "wsbook-wire-clear", { type: "button" }, "Clear");
  const figures = make("span", "wsbook-wire-figures");
  const earlier = make("button", "wsbook-wire-earlier", { type: "button" });
  const newest = make("button", "wsbook-wire-newest", { type: "button" });
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
  const scroller = make("div", "wsbook-wire-scroller", {}, ends, older, list, empty, newer);
  const tools = make(
    "div",
    "wsbook-wire-tools",
    {},
    make("label", "", {}, control, "control frames"),
    which,
    pause,
    clear,
  );
  const head = make("div", "wsbook-wire-head", {}, make("span", "wsbook-wire-title", {}, "On the wire"), figures, tools);
  const panel = make("div", "wsbook-wire", { role: "group", "aria-label": "Timeline of the wire" }, head, scroller);
  panel.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes Enter and the arrow keys
  el.classList.add("wsbook-wire-widget");
  el.replaceChildren(panel);

  let latest = JSON.parse(model.get("_view"));
  let frozen = null; // what is shown while paused
  let leaf = null; // older rows from the kernel, instead of the newest
  let cleared = 0; // here already, in the kernel perhaps not yet
  let changes = true; // the kernel has sent a view that has not been read
  let drawing = 0;
  let asking = 0;
  let current = null; // the row that the Tab key reaches
  const drawn = new Map(); // number -> { row, node }

  const shownRows = () => leaf ?? (frozen ?? latest).rows.filter((row) => row.n > cleared);

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
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 24;
    const first = rows.length ? rows[0].n : Infinity;
    const last = rows.length ? rows.at(-1).n : -Infinity;
    undraw((number) => number < first || number > last);
    const busy = list.querySelector("[aria-expanded=true]") !== null;
    let newer = rows.filter((row) => row.n > newestDrawn());
    if (newer.length > DRAWN_A_FRAME) {
      if (!busy) undraw(() => true);
      newer = busy ? newer.slice(0, DRAWN_A_FRAME) : newer.slice(-DRAWN_A_FRAME);
    }
    list.append(...newer.map(drawRow));
    const left = DRAWN_A_FRAME - newer.length;
    const older = left > 0 ? rows.filter((row) => row.n < oldestDrawn()).slice(-left) : [];
    list.prepend(...older.map(drawRow));
    if (newer.length + older.length) sift();
    if (!drawn.has(current) && list.firstElementChild) reach(oldestDrawn());
    tell(rows, first, last);
    if (atEnd && frozen === null && newer.length + older.length && !busy) scroller.scrollTop = scroller.scrollHeight;
    if (drawn.size < rows.length) drawing = requestAnimationFrame(update);
  }

  const oldestDrawn = () => Number(list.firstElementChild?.dataset.number ?? Infinity);
  const newestDrawn = () => Number(list.lastElementChild?.dataset.number ?? -Infinity);

  function drawRow(row) {
    const node = rowNode(row);
    drawn.set(row.n, { row, node });
    return node;
  }

  function undraw(which) {
    for (const [number, { node }] of drawn) {
      if (!which(number)) continue;
      node.remove();
      drawn.delete(number);
    }
  }

  function tell(rows, first, last) {
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
    at.textContent = row.ms.toFixed(1);
    chip.dataset.hue = String(row.c % 6);
    chip.append(String(row.c));
    spoken.textContent = `${row.n}, ${row.up ? "from client to server" : "from server to client"}: `;
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

  function toggle(node, wanted) {
    const button = node.firstElementChild;
    const open = button.getAttribute("aria-expanded") === "true";
    if (open === wanted) return;
    button.setAttribute("aria-expanded", String(!open));
    if (open) {
      node.lastElementChild.remove();
      return;
    }
    node.append(detail(drawn.get(Number(node.dataset.number)).row));
    requestAnimationFrame(() => {
      const [box, view] = [node.getBoundingClientRect(), scroller.getBoundingClientRect()];
      const top = view.top + ends.offsetHeight;
      if (box.bottom > view.bottom || box.top < top) scroller.scrollTop += Math.round(box.top - top);
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
    pause.textContent = frozen ? "Go on" : "Pause";
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
    const asked = (asking = performance.now());
    if (!reached(model, { do: "page", before: shownRows()[0].n })) {
      earlier.textContent = `Not to be had, ${KERNEL_GONE}`;
      return;
    }
    setTimeout(() => {
      if (asking === asked) earlier.textContent = "Waiting: the kernel is busy with a cell";
    }, KERNEL_BUSY_MS);
  });
  newest.addEventListener("click", () => {
    leaf = null;
    update();
    scroller.scrollTop = scroller.scrollHeight;
  });

  const changed = () => {
    changes = true;
    if (!drawing) drawing = requestAnimationFrame(update);
  };
  const paged = (content) => {
    if (content.do !== "page") return;
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
  requestAnimationFrame(() => (scroller.scrollTop = scroller.scrollHeight));
  return () => {
    cancelAnimationFrame(drawing);
    model.off("change:_view", changed);
    model.off("msg:custom", paged);
  };
}

function thickness(bytes) {
  return bytes === null ? 2 : 2 + Math.min(5, Math.log10(Math.max(bytes, 10)) - 1);
}

// ---- an opened arrow -----------------------------------------------------------------------

function detail(row) {
  const box = make("div", "wsbook-wire-detail", { role: "region", "aria-label": `Event ${row.n}, opened` });
  if (row.frame) box.append(...frameDetail(row.frame));
  else if (row.head) box.append(...headDetail(row.head, row.up));
  else if (row.data) box.append(section(`Content, ${plural(row.data.length, "byte")}`), dump(bytesOf(row.data.hex), row.data.length));
  else if (row.event) box.append(section(`Event of type “${row.event.type}”, id ${row.event.id ?? "none"}`), text(row.event.data));
  else box.append(text(row.note || row.what));
  return box;
}

const section = (words) => make("div", "wsbook-wire-section", { role: "heading", "aria-level": "4" }, words);

function text(words) {
  const node = make("pre", "wsbook-wire-text");
  node.textContent = words;
  return node;
}

const bytesOf = (hex) => (hex.match(/../g) ?? []).map((pair) => parseInt(pair, 16));
const hexOf = (byte) => byte.toString(16).padStart(2, "0");
const bitsOf = (byte) => byte.toString(2).padStart(8, "0");

function frameDetail(frame) {
  const header = bytesOf(frame.header);
  const payload = bytesOf(frame.payload);
  const fields = fieldsOf(header, frame);
  const masked = fields.find((field) => field.name === "MASK").bits === "1";
  const parts = [
    section(`Header, ${plural(header.length, "byte")}: ${header.map(hexOf).join(" ")}`),
    diagram(fields, frame.length),
    fieldTable(fields),
  ];
  if (masked && payload.length) parts.push(section("The mask, taken off: each byte XOR its byte of the key"), unmasking(header.slice(-4), payload));
  if (frame.length) parts.push(section(`Payload, ${plural(frame.length, "byte")}${masked ? ", unmasked" : ""}`), dump(payload, frame.length));
  if (frame.code !== undefined) {
    const reason = frame.reason ? `reason “${frame.reason}”` : "no reason";
    parts.push(section("Closing"), text(`code ${frame.code}: ${frame.meaning}; ${reason}`));
  }
  const message = frame.message;
  if (message && (message.compressed || message.frames > 1)) {
    const length = message.length === null ? "it could not be inflated" : plural(message.length, "byte");
    const how = [];
    if (message.frames > 1) how.push(`of ${message.frames} frames`);
    if (message.compressed) how.push(`inflated from ${plural(message.wire, "byte")}`);
    parts.push(section(`The message ${how.join(", ")}: ${length}`), text(message.text));
  }
  return parts;
}

const OPCODES = {
  0: "continuation: the message goes on",
  1: "text, in UTF-8",
  2: "binary",
  8: "close",
  9: "ping",
  10: "pong: the answer to a ping",
};

// The fields of RFC 6455, section 5.2, in their order, each with its bits.
function fieldsOf(header, frame) {
  const bits = header.map(bitsOf).join("");
  const opcode = header[0] & 15;
  const short = header[1] & 127;
  const masked = header[1] > 127;
  const reserved = (bit, meaning) => ({ name: `RSV${bit}`, bits: bits[bit], value: bits[bit], meaning });
  const fields = [
    {
      name: "FIN",
      bits: bits[0],
      value: bits[0],
      meaning: bits[0] === "1" ? "the last frame of its message" : "more frames of this message follow",
    },
    reserved(1, bits[1] === "1" ? "with permessage-deflate: this message is compressed" : "not compressed"),
    reserved(2, bits[2] === "1" ? "set: only an extension may do that" : "reserved"),
    reserved(3, bits[3] === "1" ? "set: only an extension may do that" : "reserved"),
    { name: "opcode", bits: bits.slice(4, 8), value: `0x${opcode.toString(16)}`, meaning: OPCODES[opcode] ?? "reserved" },
    {
      name: "MASK",
      bits: bits[8],
      value: bits[8],
      meaning: masked ? "the payload is masked, as a client must" : "not masked, as a server must not",
    },
    {
      name: "payload length",
      bits: bits.slice(9, 16),
      value: count(short),
      meaning:
        short < 126
          ? `${plural(short, "byte")} of payload`
          : `the length stands in the next ${short === 126 ? 16 : 64} bits`,
    },
  ];
  const extended = short === 126 ? 16 : short === 127 ? 64 : 0;
  if (extended) {
    fields.push({
      name: "extended payload length",
      bits: bits.slice(16, 16 + extended),
      value: count(frame.length),
      meaning: `${plural(frame.length, "byte")} of payload`,
    });
  }
  if (masked) {
    const key = header.slice(-4);
    fields.push({
      name: "masking key",
      bits: bits.slice(-32),
      value: key.map(hexOf).join(" "),
      meaning: "32 random bits, new for each frame",
    });
  }
  return fields;
}

// As in the RFC: 32 bits a line. A field that goes on in the next line is drawn in pieces.
function diagram(fields, length) {
  const grid = make("div", "wsbook-wire-bits", { "aria-hidden": "true" });
  for (let bit = 0; bit < 32; bit += 1) grid.append(make("span", "wsbook-wire-bitnumber", {}, String(bit)));
  let at = 0;
  const put = (field, name, width, bits) => {
    const cell = make("span", "wsbook-wire-field", { "data-field": field });
    if (bits && width === 1) cell.classList.add("wsbook-wire-upright");
    cell.style.gridColumn = `${(at % 32) + 1} / span ${width}`;
    if (bits) cell.append(make("span", "wsbook-wire-bit", {}, bits.length > 8 ? bits.match(/.{1,8}/g).join(" ") : bits));
    cell.append(make("span", "wsbook-wire-fieldname", {}, name));
    grid.append(cell);
    at += width;
  };
  for (const field of fields) {
    let { bits, name } = field;
    while (bits.length) {
      const width = Math.min(32 - (at % 32), bits.length);
      put(field.name, name, width, bits.slice(0, width));
      bits = bits.slice(width);
      name = `${field.name}, continued`;
    }
  }
  if (length) {
    const left = 32 - (at % 32);
    const width = Math.min(left, 8 * length);
    put("payload", 8 * length > width ? "payload …" : "payload", width, "");
  }
  return make("div", "wsbook-wire-wide", { tabindex: "-1" }, grid);
}

function fieldTable(fields) {
  const rows = fields.map(({ name, bits, value, meaning }) =>
    make(
      "tr",
      "",
      {},
      make("th", "", { scope: "row" }, name),
      make("td", "wsbook-wire-mono", {}, bits.length > 16 ? plural(bits.length, "bit") : bits),
      make("td", "wsbook-wire-mono", {}, value),
      make("td", "", {}, meaning),
    ),
  );
  const names = ["field", "bits", "value", "meaning"].map((name) => make("th", "", { scope: "col" }, name));
  return make("table", "wsbook-wire-table wsbook-wire-fields", {}, make("thead", "", {}, make("tr", "", {}, ...names)), make("tbody", "", {}, ...rows));
}

function unmasking(key, payload) {
  const shown = payload.slice(0, MASKED_BYTES);
  const more = payload.length > shown.length ? ["…"] : [];
  const line = (name, cls, cells) =>
    make(
      "tr",
      cls,
      {},
      make("th", "", { scope: "row" }, name),
      ...[...cells, ...more].map((cell, index) => {
        const node = make("td", "wsbook-wire-mono", {}, cell);
        node.style.setProperty("--turn", index);
        return node;
      }),
    );
  const table = make(
    "table",
    "wsbook-wire-mask",
    {},
    line("on the wire", "", shown.map((byte, index) => hexOf(byte ^ key[index % 4]))),
    line("XOR key", "wsbook-wire-key", shown.map((_, index) => hexOf(key[index % 4]))),
    line("= payload", "wsbook-wire-plain", shown.map(hexOf)),
    line("as text", "wsbook-wire-plain", shown.map(letter)),
  );
  return make("div", "wsbook-wire-wide", {}, table);
}

const letter = (byte) => (byte > 32 && byte < 127 ? String.fromCharCode(byte) : byte === 32 ? "␠" : "·");

function dump(bytes, length) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += BYTES_A_LINE) {
    const part = bytes.slice(at, at + BYTES_A_LINE);
    const hex = part.map(hexOf).join(" ").padEnd(3 * Math.min(BYTES_A_LINE, bytes.length) - 1);
    const letters = part.map((byte) => (byte === 32 ? " " : letter(byte))).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex}  ${letters}`);
  }
  if (length > bytes.length) lines.push(`… and ${plural(length - bytes.length, "byte")} more`);
  return text(lines.join("\n"));
}

const MATTERS = {
  upgrade: ["asks to go over to WebSocket", "agrees to go over to WebSocket"],
  connection: ["Upgrade is meant for the next hop", "agrees"],
  "sec-websocket-version": ["13, the only version of RFC 6455", "the versions it speaks"],
  "sec-websocket-key": ["16 random bytes in base64", ""],
  "sec-websocket-accept": ["", "base64(SHA-1(key + 258EAFA5-E914-47DA-95CA-C5AB0DC85B11)): it has read the key"],
  "sec-websocket-protocol": ["subprotocols to choose from", "the subprotocol it chose"],
  "sec-websocket-extensions": ["extensions to choose from", "the extensions it agreed to"],
};

function headDetail(head, up) {
  const body = make("tbody");
  for (const [name, value] of head.fields) {
    const meaning = MATTERS[name.toLowerCase()]?.[up ? 0 : 1];
    body.append(
      make(
        "tr",
        meaning ? "wsbook-wire-matters" : "",
        {},
        make("th", "wsbook-wire-mono", { scope: "row" }, name),
        make("td", "wsbook-wire-mono", {}, value),
        make("td", "", {}, meaning ?? ""),
      ),
    );
  }
  const more = head.more ? [make("div", "", {}, `… and ${plural(head.more, "header")} more`)] : [];
  return [section(up ? "Request" : "Response"), text(head.first), make("table", "wsbook-wire-table wsbook-wire-headers", {}, body), ...more];
}
