// The page of the film: shows each picture that comes, says so, and tells how old it is.

import { sound } from "./sound.js";
import { upload } from "./upload.js";

const PICTURE = 1;
const HEADER = 16; // bytes: kind, quality, two of nothing, number (4), at (8)
const RETRY = 1000; // milliseconds until the next try to connect
const TRIPS = 4; // questions for the server's clock, before the first picture
const SILENCE = 5000; // milliseconds without a word, after which nothing is called live
const UPDATE = 500; // milliseconds from one set of figures to the next

const part = (id) => document.getElementById(id);
const pen = part("screen").getContext("2d");
const seconds = () => (performance.timeOrigin + performance.now()) / 1000; // since 1970
let socket;
let qualities = [];
let asked = 0; // questions for the clock
let ahead = 0; // seconds that the server's clock is ahead of ours
let best = Infinity; // the shortest trip so far: its answer was the least wrong
let heard = Infinity; // when something last came on this connection, by performance.now()
let last = { number: 0, at: 0, quality: 0 }; // the picture on the screen
let counted = fresh(); // since the last figures

function fresh() {
  return { ages: [], bytes: 0, since: performance.now() };
}

function connect() {
  socket = new WebSocket(new URL(".", location.href).href.replace("http", "ws"));
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    asked = 0;
    best = Infinity;
    last = { number: 0, at: 0, quality: 0 };
  };
  socket.onmessage = ({ data }) => {
    const silent = performance.now() - heard > SILENCE;
    heard = performance.now();
    if (silent) say("live", true);
    if (typeof data === "string") hear(JSON.parse(data));
    else take(data);
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

function tell(message) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function hear(message) {
  if (message.type === "hello") {
    qualities = message.qualities;
    sound.rate = message.sound_rate;
    build();
    askTheTime();
  } else if (message.type === "probe") {
    tell(message);
  } else if (message.type === "clock") {
    const trip = seconds() - message.mine;
    if (trip < best) {
      best = trip;
      ahead = message.server + trip / 2 - seconds();
    }
    if (asked < TRIPS) askTheTime();
    else if (asked === TRIPS) {
      want();
      say("live", true);
      asked += 1; // from now on, once a second
    }
  } else if (message.type === "watchers") {
    part("watchers").textContent = message.count === 1 ? "only you are watching" : `${message.count} are watching`;
  } else if (message.type === "error") {
    say(message.text, true);
  }
}

function askTheTime() {
  asked += asked < TRIPS;
  tell({ type: "clock", mine: seconds() });
}

function want() {
  const quality = part("wanted").value === "" ? null : Number(part("wanted").value);
  tell({ type: "want", pictures: !document.hidden, sound: sound.on, quality });
}

async function take(data) {
  const header = new DataView(data);
  const number = header.getUint32(4);
  const at = header.getFloat64(8);
  counted.bytes += data.byteLength;
  if (header.getUint8(0) !== PICTURE) {
    sound.take(number, seconds() + ahead - at, data.slice(HEADER));
    return;
  }
  try {
    const picture = await createImageBitmap(new Blob([new Uint8Array(data, HEADER)], { type: "image/jpeg" }));
    if (number > last.number) show(picture, number, at, header.getUint8(1));
    picture.close();
  } catch {
    say("a picture was damaged", true);
  }
  tell({ type: "shown", number });
}

function show(picture, number, at, quality) {
  pen.drawImage(picture, 0, 0, part("screen").width, part("screen").height);
  if (last.number) left += number - last.number - 1;
  last = { number, at, quality };
  counted.ages.push(seconds() + ahead - at);
}

let left = 0; // pictures that were never sent to us
setInterval(() => {
  const passed = (performance.now() - counted.since) / 1000;
  const { ages, bytes } = counted;
  counted = fresh();
  if (!last.number || passed < UPDATE / 2000) return;
  const age = ages.length ? ages.reduce((sum, each) => sum + each) / ages.length : seconds() + ahead - last.at;
  const name = qualities[last.quality].name;
  part("age").textContent = `${Math.max(0, Math.round(1000 * age)).toLocaleString("en")} ms`;
  part("rate").textContent = (ages.length / passed).toFixed(0);
  part("bytes").textContent = Math.round(bytes / passed / 1000).toLocaleString("en");
  part("quality").textContent = `${name}, ${qualities[last.quality].width} px`;
  part("left").textContent = left.toLocaleString("en");
  part("heard").textContent = sound.words();
  part("screen").setAttribute("aria-label", `picture ${last.number}, ${name}, ${Math.round(1000 * age)} ms old`);
}, UPDATE);
setInterval(() => {
  const silence = performance.now() - heard;
  if (silence > SILENCE) say(`nothing heard for ${Math.round(silence / 1000)} s`, false);
  if (asked > TRIPS) askTheTime();
}, 1000);

function build() {
  if (part("wanted").length > 1) return;
  for (const [value, { name }] of qualities.entries()) part("wanted").add(new Option(name, value));
}

part("wanted").onchange = want;
part("controls").onsubmit = (event) => event.preventDefault();
document.onvisibilitychange = want;
part("sound").onclick = async () => {
  await sound.toggle();
  part("sound").ariaPressed = sound.on;
  part("heard").textContent = sound.words();
  want();
};
part("file").onchange = async ({ target }) => {
  if (!target.files.length) return;
  target.disabled = true;
  part("progress").hidden = false;
  part("said").textContent = "";
  try {
    part("said").textContent = await upload(target.files[0], (have, size) => {
      Object.assign(part("progress"), { value: have, max: size });
    });
  } catch (error) {
    part("said").textContent = error.message;
  }
  part("progress").hidden = true;
  target.disabled = false;
};
part("file").onclick = ({ target }) => {
  target.value = ""; // so that the same file may be chosen again
};

connect();
