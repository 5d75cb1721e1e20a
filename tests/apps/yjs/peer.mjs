// A Yjs replica that does what each line of its standard input says, and answers each with a line of JSON.
import { createInterface } from "node:readline";
import WebSocket from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

const [url, room, name] = process.argv.slice(2);
const doc = new Y.Doc();
const text = doc.getText("text");
const provider = new WebsocketProvider(url, room, doc, { WebSocketPolyfill: WebSocket, disableBc: true });
const { awareness } = provider;
awareness.setLocalStateField("user", { name });

const random = (below) => Math.floor(Math.random() * below);

function people() {
  return Object.fromEntries(
    [...awareness.getStates().values()].map(({ user, cursor }) => {
      const head = cursor && Y.createAbsolutePositionFromRelativePosition(
        Y.createRelativePositionFromJSON(cursor.head), doc);
      return [user?.name, head?.index ?? null];
    }),
  );
}

const commands = {
  async synced() {
    if (!provider.synced) await new Promise((done) => provider.once("sync", done));
    return true;
  },
  async edit(count) {
    for (let made = 0; made < Number(count); made += 1) {
      if (text.length > 20 && random(3) === 0) text.delete(random(text.length - 3), random(3));
      else text.insert(random(text.length + 1), `${name[0]}é`);
      if (made % 5 === 0) await new Promise((done) => setTimeout(done, 1));
    }
    return true;
  },
  insert: (at, put) => text.insert(Number(at), put) ?? true,
  text: () => text.toString(),
  people,
  select(at) {
    const head = Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(text, Number(at)));
    awareness.setLocalStateField("cursor", { anchor: head, head });
    return true;
  },
  cut: () => provider.disconnect() ?? true,
  back: () => provider.connect() ?? true,
  end: () => process.exit(),
};

for await (const line of createInterface(process.stdin)) {
  const [command, ...rest] = line.split(" ");
  console.log(JSON.stringify(await commands[command](...rest)));
}
