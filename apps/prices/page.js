// The page of live prices: follows what is chosen, draws once per frame, and asks again when something is lost.

const KEPT = 300; // prices of each symbol, for its chart
const FLASH = 300; // milliseconds that a price is lit up after it has changed
const SPARK = [80, 20]; // pixels
const RETRY = 1000; // milliseconds until the next try to connect
const SILENCE = 5000; // milliseconds without a word, after which nothing is called live

const part = (id) => document.getElementById(id);
const companies = new Map(); // symbol → { name, sector, number, prices, row … }
const dirty = new Set(); // to be drawn
const lit = new Set(); // whose price flashes
let socket;
let run = "";
let sector = new URLSearchParams(location.search).get("sector") ?? "All";
let chosen = null;
let received = 0;
let healed = 0;
let heard = Infinity; // when something last came on this connection, by performance.now()
let newest = 0; // when the newest change was made, in milliseconds since 1970

function connect() {
  socket = new WebSocket(location.href.replace("http", "ws"));
  socket.onmessage = ({ data }) => {
    const silent = performance.now() - heard > SILENCE;
    heard = performance.now();
    if (silent) say("live", true);
    take(JSON.parse(data));
  };
  socket.onclose = () => {
    heard = Infinity;
    say("not connected: trying again", false);
    setTimeout(connect, RETRY);
  };
}

function say(words, open) {
  part("state").textContent = words;
  part("state").toggleAttribute("data-open", open);
}

function ask(type, symbols) {
  if (socket.readyState !== WebSocket.OPEN || !symbols.length) return;
  const request = { type, symbols };
  if (type === "subscribe") {
    const known = symbols.filter((symbol) => companies.get(symbol).number);
    request.after = Object.fromEntries(known.map((symbol) => [symbol, companies.get(symbol).number]));
    request.run = run;
  }
  socket.send(JSON.stringify(request));
}

const wanted = () => [...companies.keys()].filter((symbol) => follows(symbol));
const follows = (symbol) => sector === "All" || companies.get(symbol).sector === sector;

function take(message) {
  if (message.type === "hello") {
    build(message.companies);
    if (message.run !== run) for (const company of companies.values()) company.number = 0;
    run = message.run;
    say("live", true);
    ask("subscribe", wanted());
  } else if (message.type === "snapshot") {
    for (const { symbol, number, price } of message.prices) {
      const company = companies.get(symbol);
      company.prices = [];
      show(company, number, price);
    }
  } else if (message.type === "changes") {
    const lost = new Set();
    for (const { symbol, number, after, price, time } of message.changes) {
      const company = companies.get(symbol);
      received += 1;
      newest = 1000 * time;
      if (number <= company.number) continue; // a duplicate
      if (after === company.number) show(company, number, price);
      else if (follows(symbol) && !company.lost) lost.add(symbol);
    }
    for (const symbol of lost) companies.get(symbol).lost = true;
    ask("subscribe", [...lost]);
  } else if (message.type === "audience") {
    for (const [symbol, { cells }] of companies) cells.followers.textContent = message.symbols[symbol] ?? 0;
    part("figures").dataset.clients = message.clients;
  } else if (message.type === "error") {
    say(message.text, true);
  }
}

function show(company, number, price) {
  if (company.lost) healed += 1;
  company.lost = false;
  company.flash = company.number ? Math.sign(price - company.price) || company.flash : 0;
  Object.assign(company, { number, price });
  company.first ??= price;
  company.prices.push(price);
  if (company.prices.length > KEPT) company.prices.shift();
  dirty.add(company);
}

function build(listed) {
  if (companies.size) return;
  for (const [symbol, [name, itsSector]] of Object.entries(listed)) {
    const row = part("rows").insertRow();
    const kinds = ["symbol", "name", "price number", "change number", "trend", "followers number"];
    const cells = {};
    for (const kind of kinds) {
      const cell = row.insertCell();
      cell.className = kind;
      cells[kind.split(" ")[0]] = cell;
    }
    row.tabIndex = -1;
    row.dataset.symbol = symbol;
    cells.symbol.textContent = symbol;
    cells.name.textContent = name;
    const spark = cells.trend.appendChild(document.createElement("canvas"));
    companies.set(symbol, { symbol, name, sector: itsSector, number: 0, price: 0, prices: [], row, cells, spark });
  }
  for (const each of ["All", ...new Set([...companies.values()].map((company) => company.sector))]) {
    const button = part("sectors").appendChild(document.createElement("button"));
    button.textContent = each;
    button.onclick = () => follow(each);
  }
  if (![...part("sectors").children].some((button) => button.textContent === sector)) sector = "All";
  narrow();
}

function follow(next) {
  const before = new Set(wanted());
  sector = next;
  const after = new Set(wanted());
  ask(
    "unsubscribe",
    [...before].filter((symbol) => !after.has(symbol)),
  );
  ask(
    "subscribe",
    [...after].filter((symbol) => !before.has(symbol)),
  );
  narrow();
}

function narrow() {
  for (const button of part("sectors").children) button.ariaPressed = button.textContent === sector;
  for (const [symbol, { row }] of companies) row.hidden = !follows(symbol);
  if (!chosen || !follows(chosen.symbol)) choose(companies.get(wanted()[0]));
}

function choose(company, focus = false) {
  if (chosen) {
    chosen.row.ariaSelected = "false";
    chosen.row.tabIndex = -1;
  }
  chosen = company;
  company.row.ariaSelected = "true";
  company.row.tabIndex = 0;
  if (focus) company.row.focus();
  part("name").textContent = `${company.symbol} · ${company.name}`;
  dirty.add(company);
}

part("rows").onclick = ({ target }) => choose(companies.get(target.closest("tr").dataset.symbol), true);
part("rows").onkeydown = (event) => {
  const shown = wanted();
  const at = shown.indexOf(chosen.symbol);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: shown.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  choose(companies.get(shown[Math.min(shown.length - 1, Math.max(0, to))]), true);
};

const money = (price) => price.toFixed(2);

function words({ price, first }) {
  const share = first ? (100 * (price - first)) / first : 0;
  return { text: `${share < 0 ? "−" : "+"}${Math.abs(share).toFixed(2)} %`, way: share < 0 ? "down" : "up" };
}

function draw(now) {
  for (const company of dirty) {
    if (!company.prices.length) continue;
    const { cells, spark } = company;
    const change = words(company);
    if (company.flash) {
      cells.price.dataset.flash = company.flash > 0 ? "up" : "down";
      company.lit = now + FLASH;
      company.flash = 0;
      lit.add(company);
    }
    if (!company.row.hidden) {
      write(cells.price, money(company.price));
      write(cells.change, change.text);
      cells.change.dataset.way = change.way;
      line(spark, SPARK, company.prices.slice(-60), change.way, 1.5);
    }
    if (company === chosen) detail(company, change);
  }
  dirty.clear();
  for (const company of lit) {
    if (company.lit > now) continue;
    delete company.cells.price.dataset.flash;
    lit.delete(company);
  }
  requestAnimationFrame(draw);
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function detail(company, change) {
  const small = document.createElement("small");
  small.dataset.way = change.way;
  small.textContent = `  ${change.text}`;
  part("latest").replaceChildren(money(company.price), small);
  const low = money(Math.min(...company.prices));
  const high = money(Math.max(...company.prices));
  part("range").textContent = `last ${company.prices.length} prices: lowest ${low}, highest ${high}`;
  part("chart").setAttribute("aria-label", `${company.name}: from ${low} to ${high}, now ${money(company.price)}`);
  line(part("chart"), chartSize, company.prices, "accent", 2);
}

let chartSize = [300, 200];
new ResizeObserver(([{ contentRect }]) => {
  chartSize = [Math.round(contentRect.width), Math.round(contentRect.height)];
  if (chosen) dirty.add(chosen);
}).observe(part("chart"));

function line(canvas, [width, height], prices, colour, thick) {
  const scale = window.devicePixelRatio;
  if (canvas.width !== width * scale) Object.assign(canvas, { width: width * scale, height: height * scale });
  const low = Math.min(...prices);
  const span = Math.max(...prices) - low || 1;
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.beginPath();
  const step = width / Math.max(1, prices.length - 1);
  for (const [at, price] of prices.entries()) {
    pen.lineTo(at * step, height - 3 - ((price - low) / span) * (height - 6));
  }
  pen.lineWidth = thick;
  pen.strokeStyle = palette[colour];
  pen.stroke();
}

// A canvas knows no variables of CSS and no light-dark(): an element's own colour is asked.
const palette = {};
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.onchange = () => {
  const probe = document.body.appendChild(document.createElement("i"));
  for (const name of ["up", "down", "accent"]) {
    probe.style.color = `var(--${name})`;
    palette[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  for (const company of companies.values()) dirty.add(company);
};
dark.onchange();

setInterval(() => {
  const clients = part("figures").dataset.clients ?? 0;
  const gaps = healed ? ` · ${healed} ${healed === 1 ? "gap" : "gaps"} healed` : "";
  const age = Math.max(0, Math.round(Date.now() - newest));
  part("figures").textContent = `${received} changes/s · ${newest ? age : "–"} ms old · ${clients} here${gaps}`;
  received = 0;
  const silence = performance.now() - heard;
  if (silence > SILENCE) say(`nothing heard for ${Math.round(silence / 1000)} s`, false);
}, 1000);

connect();
requestAnimationFrame(draw);
