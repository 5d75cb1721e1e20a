// Sends a file in chunks, and goes on where it stopped when the connection breaks.

const CHUNK = 2 ** 14; // bytes
const MOST_WAITING = 2 ** 18; // bytes in the browser's own buffer
const ATTEMPTS = 8; // in a row, without one more byte that arrived
const PAUSE = 250; // milliseconds

export async function upload(file, progress) {
  if (!crypto.subtle) throw new Error("uploads need https, or a page from this machine");
  const content = await file.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const checksum = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const path = `upload?size=${content.byteLength}&sha256=${checksum}`;
  const address = new URL(path, location.href).href.replace("http", "ws");
  let most = -1;
  for (let failed = 0; failed < ATTEMPTS; failed += 1) {
    const said = await sendTheRest(address, content, (have) => {
      if (have > most) [most, failed] = [have, 0];
      progress(have, content.byteLength);
    });
    if (said?.type === "error") throw new Error(said.text);
    if (said?.type === "done") return said.text;
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  throw new Error("the server can't be reached, or the file is too large for it");
}

// What the server says in the end; nothing if the connection broke
function sendTheRest(address, content, heard) {
  return new Promise((resolve) => {
    const socket = new WebSocket(address);
    let end;
    let at = null;
    const send = () => {
      while (at < content.byteLength && socket.bufferedAmount < MOST_WAITING) {
        socket.send(content.slice(at, at + CHUNK));
        at += CHUNK;
      }
    };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type !== "have") {
        end = message;
        socket.close();
        return;
      }
      heard(message.bytes);
      at ??= message.bytes;
      send();
    };
    socket.onclose = () => resolve(end);
  });
}
