// The wire timeline: the library's keepalive, folded into one row, so that it doesn't push messages away.

import { make } from "./shared.js";

const RANDOM_PING = 4; // `websockets` puts four random bytes into its own pings

const isKeepalive = (row) => (row.kind === "ping" || row.kind === "pong") && row.frame.length === RANDOM_PING;

// Rows, in which two pings of a connection or more, with nothing else in between, have become one row. It has
// the number of the first, so that it keeps its place when there are more.
export function folded(rows) {
  const out = [];
  let runs = new Map(); // connection -> its rows since something else came
  for (const row of rows) {
    if (!isKeepalive(row)) {
      runs = new Map();
      out.push(row);
    } else if (runs.has(row.c)) {
      const run = runs.get(row.c);
      run.members.push(row);
      if (howMany(run.members, "ping") < 2) out.push(row);
      else if (run.at === null) run.at = fold(out, run.members);
      else out[run.at] = asOne(run.members);
    } else {
      runs.set(row.c, { members: [row], at: null });
      out.push(row);
    }
  }
  return out.filter((row) => row !== null);
}

const howMany = (rows, kind) => rows.filter((row) => row.kind === kind).length;

// Puts one row in the place of the first; the others' places are left empty, and other rows keep theirs.
function fold(out, members) {
  for (const row of members.slice(1, -1)) out[out.lastIndexOf(row)] = null;
  const at = out.lastIndexOf(members[0]);
  out[at] = asOne(members);
  return at;
}

function asOne(members) {
  const [pings, pongs] = [howMany(members, "ping"), howMany(members, "pong")];
  const missing = Math.max(0, pings - pongs);
  return {
    ...members[0],
    kind: "keepalive",
    what: `${pings} keepalive pings`,
    note: missing ? `${missing} not answered yet` : "each answered with a pong",
    size: members.reduce((sum, row) => sum + row.size, 0),
    frame: undefined,
    members,
  };
}

// What is seen of the row when it is opened: each ping and pong in a line.
export function foldedDetail(members, zero) {
  const lines = members.map(({ ms, up, what, note, size }) =>
    make(
      "tr",
      "",
      {},
      ...[`${(ms - zero).toFixed(1)} ms`, up ? "→" : "←", what, note, `${size} bytes`].map((text) =>
        make("td", "wsbook-wire-mono", {}, text),
      ),
    ),
  );
  return make("table", "wsbook-wire-table wsbook-wire-folded", {}, make("tbody", "", {}, ...lines));
}
