// The wire timeline: what is seen of a row that is opened, down to the bits of a frame.
// What a peer has sent is only ever set as text, never as HTML.

import { make } from "./shared.js";

const MASKED_BYTES = 12;
const BYTES_A_LINE = 16;

const numerals = new Intl.NumberFormat("en");
export const count = (number) => numerals.format(number);
export const plural = (number, one) => `${count(number)} ${one}${number === 1 ? "" : "s"}`;

// `bitsALine` is 32 as in the RFC, or 16 where there is less room.
export function detail(row, bitsALine) {
  const box = make("div", "wsbook-wire-detail", { role: "region", "aria-label": `Event ${row.n}, opened` });
  if (row.frame) box.append(...frameDetail(row.frame, bitsALine));
  else if (row.head) box.append(...headDetail(row.head, row.up));
  else if (row.data)
    box.append(section(`Content, ${plural(row.data.length, "byte")}`), dump(bytesOf(row.data.hex), row.data.length));
  else if (row.event)
    box.append(section(`Event of type “${row.event.type}”, id ${row.event.id ?? "none"}`), text(row.event.data));
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

function frameDetail(frame, bitsALine) {
  const header = bytesOf(frame.header);
  const payload = bytesOf(frame.payload);
  const fields = fieldsOf(header, frame);
  const masked = fields.find((field) => field.name === "MASK").bits === "1";
  const parts = [
    section(`Header, ${plural(header.length, "byte")}: ${header.map(hexOf).join(" ")}`),
    diagram(fields, frame.length, bitsALine),
    fieldTable(fields),
  ];
  if (masked && payload.length)
    parts.push(section("Unmasking: each byte XOR one byte of the key"), unmasking(header.slice(-4), payload));
  if (frame.length)
    parts.push(
      section(`Payload, ${plural(frame.length, "byte")}${masked ? ", unmasked" : ""}`),
      dump(payload, frame.length),
    );
  if (frame.code !== undefined) {
    const reason = frame.reason ? `reason “${frame.reason}”` : "no reason";
    parts.push(section("Closing"), text(`code ${frame.code}: ${frame.meaning}; ${reason}`));
  }
  const message = frame.message;
  if (message && (message.compressed || message.frames > 1)) {
    const length = message.length === null ? "it could not be decompressed" : plural(message.length, "byte");
    const how = [];
    if (message.frames > 1) how.push(`of ${message.frames} frames`);
    if (message.compressed) how.push(`decompressed from ${plural(message.wire, "byte")}`);
    parts.push(section(`The message ${how.join(", ")}: ${length}`), text(message.text));
  }
  return parts;
}

const OPCODES = {
  0: "continuation of a message begun before",
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
    {
      name: "opcode",
      bits: bits.slice(4, 8),
      value: `0x${opcode.toString(16)}`,
      meaning: OPCODES[opcode] ?? "reserved",
    },
    {
      name: "MASK",
      bits: bits[8],
      value: bits[8],
      meaning: masked ? "masked, as a client's payload must be" : "not masked: a server must not mask",
    },
    {
      name: "payload length",
      bits: bits.slice(9, 16),
      value: count(short),
      meaning:
        short < 126
          ? `${plural(short, "byte")} of payload`
          : `the length is in the next ${short === 126 ? 16 : 64} bits`,
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

// As in the RFC. A field that goes on in the next line is drawn in pieces.
function diagram(fields, length, bitsALine) {
  const grid = make("div", "wsbook-wire-bits", { "aria-hidden": "true" });
  grid.style.setProperty("--bits", bitsALine);
  for (let bit = 0; bit < bitsALine; bit += 1) grid.append(make("span", "wsbook-wire-bitnumber", {}, String(bit)));
  let at = 0;
  const put = (field, name, width, bits) => {
    const cell = make("span", "wsbook-wire-field", { "data-field": field });
    if (bits && width === 1) cell.classList.add("wsbook-wire-upright");
    cell.style.gridColumn = `${(at % bitsALine) + 1} / span ${width}`;
    if (bits)
      cell.append(make("span", "wsbook-wire-bit", {}, bits.length > 8 ? bits.match(/.{1,8}/g).join(" ") : bits));
    cell.append(make("span", "wsbook-wire-fieldname", {}, name));
    grid.append(cell);
    at += width;
  };
  for (const field of fields) {
    let { bits, name } = field;
    while (bits.length) {
      const width = Math.min(bitsALine - (at % bitsALine), bits.length);
      put(field.name, name, width, bits.slice(0, width));
      bits = bits.slice(width);
      name = `${field.name}, continued`;
    }
  }
  if (length) {
    const left = bitsALine - (at % bitsALine);
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
  return make(
    "table",
    "wsbook-wire-table wsbook-wire-fields",
    {},
    make("thead", "", {}, make("tr", "", {}, ...names)),
    make("tbody", "", {}, ...rows),
  );
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
    line(
      "on the wire",
      "",
      shown.map((byte, index) => hexOf(byte ^ key[index % 4])),
    ),
    line(
      "XOR masking key",
      "wsbook-wire-key",
      shown.map((_, index) => hexOf(key[index % 4])),
    ),
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
    const hex = part
      .map(hexOf)
      .join(" ")
      .padEnd(3 * Math.min(BYTES_A_LINE, bytes.length) - 1);
    const letters = part.map((byte) => (byte === 32 ? " " : letter(byte))).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex}  ${letters}`);
  }
  if (length > bytes.length) lines.push(`… and ${plural(length - bytes.length, "byte")} more`);
  return text(lines.join("\n"));
}

const MATTERS = {
  upgrade: ["asks to switch to WebSocket", "agrees to switch to WebSocket"],
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
  return [
    section(up ? "Request" : "Response"),
    text(head.first),
    make("table", "wsbook-wire-table wsbook-wire-headers", {}, body),
    ...more,
  ];
}
