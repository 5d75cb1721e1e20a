// What the chat's page shows, and where what is typed waits until the server has answered it.
//
// Streamlit calls the default function whenever `data`, all there is to see, has changed. Back goes one value, the
// wish: who sits here, and every message without an answer, with its number. So it doesn't matter how many of these
// values get lost or come twice (`seat.py`). The wish is in `sessionStorage`, too: a reload keeps one's place and words.

const LONGEST = 4096; // characters, as in room.py
const LINES_KEPT = 1000;
const TYPING_EVERY = 2000; // milliseconds
const SAME_SPEAKER = 300; // seconds: later than that, name and time are shown again
const LATE = 4000; // milliseconds without an answer, after which a message is said to wait

const STORE = `chat ${location.pathname}`; // in a notebook, two chats may be in one tab, behind one proxy

const tabs = new WeakMap();

export default function ({ parentElement, data, setStateValue }) {
  let tab = tabs.get(parentElement);
  if (!tab) {
    tab = new Tab(parentElement);
    tabs.set(parentElement, tab);
  }
  tab.tell = (wish) => setStateValue("wish", wish);
  tab.draw(data); // and no cleanup is returned: Streamlit would also call it when one `data` overtakes another
}

const nobody = () => ({ key: "", name: "", room: "", token: "", outbox: [], next: 1, draft: "", typing: 0 });

class Tab {
  constructor(root) {
    this.root = root;
    this.find = (css) => root.querySelector(css);
    this.wish = { ...nobody(), ...JSON.parse(sessionStorage.getItem(STORE) ?? "{}") };
    this.view = {};
    this.last = 0; // the number of the newest line drawn
    this.dropped = 0;
    this.outboxAt = Date.now(); // when it changed
    this.typedAt = 0; // when it was last said
    this.unread = 0;
    this.ears = new AbortController();
    this.text = this.find("textarea");
    this.text.value = this.wish.draft;
    this.scroll = this.find(".scroll");
    this.listen();
    this.fit();
    this.measure();
    this.clock = setInterval(() => (root.host.isConnected ? this.pending() : this.end()), 1000);
    if (this.wish.key) setTimeout(() => this.say());
  }

  end() {
    clearInterval(this.clock);
    this.ears.abort();
    tabs.delete(this.root);
  }

  listen() {
    const on = (target, type, then) => target.addEventListener(type, then, { signal: this.ears.signal });
    const submit = (css, then) =>
      on(this.find(css), "submit", (event) => {
        event.preventDefault();
        then(event.target);
      });
    const click = (css, then) => on(this.find(css), "click", then);
    submit(".join", (form) => this.join(tidy(form.name.value), tidy(form.room.value), form.token.value.trim()));
    submit(".retry", (form) => this.join(this.wish.name, this.wish.room, form.token.value.trim() || this.wish.token));
    submit(".write", () => this.send());
    click(".again", () => this.join(this.wish.name, this.wish.room, this.wish.token));
    click(".leave", () => this.leave());
    click(".newer", () => this.toEnd());
    click(".here", () => this.unfold(this.find(".here").ariaExpanded !== "true"));
    on(this.text, "input", () => this.typed());
    on(this.text, "keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.send();
      }
    });
    on(this.scroll, "scroll", () => this.atEnd() && this.toEnd());
    const screen = window.visualViewport ?? window;
    on(screen, "resize", () => this.measure());
    on(screen, "scroll", () => this.measure());
  }

  // What the tab wants

  say() {
    const { key, name, room, token, outbox, typing } = this.wish;
    this.store();
    this.tell({ key, name, room, token, outbox, typing });
  }

  store() {
    sessionStorage.setItem(STORE, JSON.stringify(this.wish));
  }

  join(name, room, token) {
    if (!name || !room) return;
    const key = [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
    Object.assign(this.wish, { key, name, room, token, typing: 0 });
    this.say();
    this.show("wait");
  }

  leave() {
    const { name, room, token, outbox } = this.wish;
    this.wish = { ...nobody(), name, room, token };
    this.put([...outbox.map(([, text]) => text), this.text.value].filter(Boolean).join("\n"));
    this.say();
    this.draw({ key: "", ask: {} });
  }

  send() {
    const text = this.text.value;
    if (!text.trim() || tooLong(text)) {
      this.fit();
      return;
    }
    this.wish.outbox.push([this.wish.next++, text]);
    this.outboxAt = Date.now();
    this.typedAt = 0;
    this.put("");
    this.say();
    this.pending();
    this.toEnd();
  }

  put(text) {
    this.text.value = this.wish.draft = text;
    this.fit();
    this.store();
  }

  typed() {
    this.wish.draft = this.text.value;
    this.fit();
    if (this.text.value && Date.now() > this.typedAt + TYPING_EVERY) {
      this.typedAt = Date.now();
      this.wish.typing += 1;
      this.say();
    } else this.store();
  }

  writeTo(name) {
    this.put(`/to ${name} ${this.text.value.trimStart().startsWith("/") ? "" : this.text.value}`);
    this.unfold(false);
    this.text.focus();
  }

  // What is shown

  draw(view) {
    if (view.key !== this.wish.key) {
      if (!this.wish.key) this.form(view.ask ?? {});
      return; // of an earlier seat
    }
    this.view = view;
    if (!view.key) this.form(view.ask);
    else if (view.elsewhere) this.show("elsewhere");
    else this.inside(view);
  }

  show(name) {
    const chat = this.find(".chat");
    if (chat.dataset.view === name) return;
    chat.dataset.view = name;
    if (name === "room" && !matchMedia("(pointer: coarse)").matches) this.text.focus();
  }

  form(ask) {
    const form = this.find(".join");
    if (this.find(".chat").dataset.view !== "join") {
      form.name.value = this.wish.name || (ask.name ?? "");
      form.room.value = this.wish.room || (ask.room ?? "lobby");
      form.token.value = this.wish.token || (ask.token ?? "");
      form.querySelector(".token").hidden = !form.token.value;
    }
    this.show("join");
  }

  inside(view) {
    const left = this.wish.outbox.filter(([n]) => n > view.taken || view.unanswered.includes(n));
    if (left.length < this.wish.outbox.length) {
      this.wish.outbox = left;
      this.outboxAt = Date.now();
      this.store();
    }
    this.find(".name").textContent = this.wish.room;
    this.state(view);
    this.members(view);
    const stick = this.atEnd() || this.find(".chat").dataset.view !== "room";
    this.log(view);
    this.pending();
    this.find(".typing").textContent = view.typing.length
      ? `${view.typing.join(", ")} ${view.typing.length > 1 ? "are" : "is"} typing …`
      : "";
    this.show("room");
    if (stick) this.toEnd();
    else if (this.unread) this.chip();
    this.fit();
  }

  state(view) {
    const state = this.find(".state");
    state.className = `state ${view.state}`;
    state.textContent = view.state === "open" ? "" : view.text;
    state.title = view.text;
    const over = view.state === "refused" || view.state === "closed";
    const banner = this.find(".banner");
    if (over && banner.hidden) this.find(".retry").token.value = "";
    banner.hidden = !over;
    banner.querySelector("p").textContent = view.forbidden
      ? `${view.text} This chat is behind a token: ask whoever runs it, and type it here.`
      : view.text;
    banner.querySelector(".token").hidden = !view.forbidden;
    state.hidden = over;
  }

  members(view) {
    const now = view.state === "open";
    this.find(".here").textContent = now ? `${view.members.length} here` : "Last seen here";
    this.find(".here").hidden = !view.members.length;
    const known = JSON.stringify([view.members, view.you]);
    if (known === this.known) return;
    this.known = known;
    this.find(".members").replaceChildren(
      ...view.members.map((name) => {
        const me = name === view.you;
        const button = element(me ? "div" : "button", "member", face(name), element("span", "", name));
        if (me) button.append(element("small", "", "you"));
        else
          Object.assign(button, { type: "button", title: `Write to ${name} alone`, onclick: () => this.writeTo(name) });
        return button;
      }),
    );
  }

  unfold(open) {
    this.find(".here").ariaExpanded = String(open);
    this.find(".members").classList.toggle("open", open);
  }

  log(view) {
    const lines = this.find(".lines");
    if (view.born !== this.born) {
      this.born = view.born;
      this.last = this.dropped = 0;
      lines.replaceChildren();
    }
    for (const line of view.lines) {
      if (line.n <= this.last) continue;
      if (line.n > this.last + 1 && this.last) {
        const missing = (line.n - this.last - 1).toLocaleString("en");
        lines.append(element("p", "note gap", `${missing} lines came faster than this page could show them.`));
      }
      this.last = line.n;
      lines.append(this.line(line, lines.lastElementChild));
      if (line.type !== "note") this.unread += 1;
    }
    if (view.dropped > this.dropped) {
      const missing = (view.dropped - this.dropped).toLocaleString("en");
      lines.append(element("p", "note gap", `${missing} events came faster than this page could show them.`));
    }
    this.dropped = view.dropped;
    while (lines.childElementCount > LINES_KEPT) lines.firstElementChild.remove();
  }

  line(line, before) {
    if (line.type === "note") return element("p", "note", line.text);
    const said = element("p", "text", line.text);
    const bubble = element("div", `bubble ${line.type}`, said);
    if (line.type === "told")
      bubble.prepend(element("small", "to", line.mine ? `to ${line.to} alone` : "to you alone"));
    if (line.type === "failed") {
      bubble.append(element("small", "why", line.why), this.again(line.text));
    }
    const item = element("article", line.mine ? "message own" : "message", bubble);
    Object.assign(item.dataset, { who: line.who, at: line.at ?? 0 });
    const follows = before?.dataset.who === line.who && (line.at ?? 0) - before.dataset.at < SAME_SPEAKER;
    item.classList.toggle("follows", follows);
    if (!follows) {
      const head = element("header", "", element("b", "", line.who));
      if (line.at) head.append(time(line.at));
      item.prepend(head);
      if (!line.mine) item.prepend(face(line.who));
    }
    return item;
  }

  again(text) {
    const button = element("button", "again", "Edit and send again");
    button.type = "button";
    button.onclick = () => {
      this.put(text);
      this.text.focus();
    };
    return button;
  }

  pending() {
    // what was typed and isn't in the log yet
    if (!this.wish.key) return;
    const { taken = 0, waits = "", state = "connecting" } = this.view;
    const sending = state === "open" ? "sending …" : "waits for the connection";
    const late =
      Date.now() - this.outboxAt > LATE && "Not sent yet: the page does not answer. It is sent when it does.";
    const notes = this.wish.outbox.map(([n, text]) => [text, n > taken ? waits || late || sending : sending]);
    const shown = JSON.stringify(notes);
    if (shown === this.pendingShown) return;
    this.pendingShown = shown;
    const bubble = ([text, note]) =>
      element("div", "bubble waiting", element("p", "text", text), element("small", "why", note));
    this.find(".mine").replaceChildren(...notes.map((it) => element("article", "message own follows", bubble(it))));
  }

  // Measures

  measure() {
    // with a phone's keyboard open, only the visual viewport is left to us
    const screen = window.visualViewport;
    const chat = this.find(".chat");
    const stick = this.atEnd();
    chat.style.setProperty("--height", screen ? `${screen.height}px` : "100dvh");
    chat.style.setProperty("--top", screen ? `${screen.offsetTop}px` : "0");
    chat.classList.toggle("low", (screen?.height ?? innerHeight) < 480);
    if (stick) this.toEnd();
  }

  fit() {
    const { text } = this;
    const stick = this.atEnd();
    text.style.height = "auto";
    text.style.height = `${text.scrollHeight + 2}px`;
    const hint = this.find(".hint");
    const to = this.view.members?.findLast((name) => text.value.trimStart().startsWith(`/to ${name} `));
    const long = tooLong(text.value);
    hint.className = long ? "hint long" : "hint";
    hint.textContent = long || (to ? `Only ${to} will read this.` : "");
    hint.hidden = !hint.textContent;
    this.find(".write button").disabled = Boolean(long) || !text.value.trim();
    if (stick) this.toEnd();
  }

  atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroll;
    return scrollHeight - scrollTop - clientHeight < 40;
  }

  toEnd() {
    this.scroll.scrollTop = this.scroll.scrollHeight;
    this.unread = 0;
    this.find(".newer").hidden = true;
  }

  chip() {
    this.find(".newer").textContent = this.unread > 1 ? `${this.unread} new messages ↓` : "1 new message ↓";
    this.find(".newer").hidden = false;
  }
}

const tidy = (name) => name.trim().replace(/\s+/g, " ");

function tooLong(text) {
  const length = [...text].length;
  if (length <= LONGEST) return "";
  const [is, most] = [length, LONGEST].map((number) => number.toLocaleString("en"));
  return `Too long to send: ${is} characters, and a message has at most ${most}.`;
}

function element(tag, names, ...children) {
  const made = document.createElement(tag);
  made.className = names;
  made.append(...children); // strings become text, never markup
  return made;
}

function face(name) {
  const [first] = new Intl.Segmenter().segment(name);
  const made = element("span", "face", first.segment.toLocaleUpperCase());
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  made.style.setProperty("--hue", hue);
  made.ariaHidden = "true";
  return made;
}

function time(seconds) {
  const date = new Date(seconds * 1000);
  const made = element("time", "", date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  made.dateTime = date.toISOString();
  return made;
}
