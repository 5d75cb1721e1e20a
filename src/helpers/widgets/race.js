// The race: a lane for each way, a tick where an event was published, a dot where it arrived.

import { KERNEL_GONE, leaveOnEscape, make, reached, say } from "./shared.js";

export default {
  render({ model, el }) {
    const start = make("button", "wsbook-button wsbook-race-start", { type: "button" }, "Start");
    const state = make("span", "wsbook-state", { role: "status" });
    const caption = make("div", "wsbook-race-caption");
    const rows = make("div", "wsbook-race-rows");
    const legend = make(
      "div",
      "wsbook-race-caption",
      {},
      "A vertical line: the server publishes an event. A dot: the event arrives. The bar before the dot: how long that took.",
    );
    const head = make("div", "wsbook-head", {}, start, state);
    const race = make(
      "div",
      "wsbook wsbook-race",
      { role: "group", "aria-label": "Race" },
      head,
      caption,
      rows,
      legend,
    );
    start.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes Enter
    el.classList.add("wsbook-race-widget");
    el.replaceChildren(race);
    leaveOnEscape(race);

    let lanes = [];
    let ticks = 0;
    const overlay = make("div", "wsbook-race-overlay", { "aria-hidden": "true" });
    const cursor = make("div", "wsbook-race-cursor");

    function build(view) {
      ticks = 0;
      overlay.replaceChildren(cursor);
      lanes = view.lanes.map(({ name }) => {
        const track = make("div", "wsbook-race-track", { role: "img" });
        const words = make("div", "wsbook-race-words");
        return { name, track, words, drawn: 0, row: [make("div", "wsbook-race-name", {}, name), track, words] };
      });
      const axis = make("div", "wsbook-race-axis", { "aria-hidden": "true" });
      const step = [0.5, 1, 2, 5, 10, 20].find((seconds) => view.length / seconds <= 8) ?? 30;
      for (let at = 0; at <= view.length; at += step) {
        const label = make("span", "", {}, `${at} s`);
        label.style.left = `${(100 * at) / view.length}%`;
        axis.append(label);
      }
      rows.replaceChildren(...lanes.flatMap((lane) => lane.row), axis, overlay);
      overlay.style.gridRow = `1 / span ${lanes.length}`;
      axis.style.gridRow = `${lanes.length + 1}`;
      lanes.forEach((lane, number) => {
        for (const node of lane.row) node.style.gridRow = `${number + 1}`;
      });
    }

    function update() {
      const view = model.get("_view");
      const place = (seconds) => Math.min(100, Math.max(0, (100 * seconds) / view.length));
      const again = lanes.some((lane, number) => lane.drawn > view.lanes[number].dots.length);
      if (again || !lanes.length || view.published.length < ticks) build(view);
      for (const moment of view.published.slice(ticks)) {
        const tick = make("div", "wsbook-race-tick");
        tick.style.left = `${place(moment)}%`;
        overlay.append(tick);
      }
      ticks = view.published.length;
      view.lanes.forEach(({ dots, words }, number) => {
        const lane = lanes[number];
        for (const [published, arrived] of dots.slice(lane.drawn)) {
          const wait = make("div", "wsbook-race-wait");
          wait.style.left = `${place(published)}%`;
          wait.style.width = `${place(arrived) - place(published)}%`;
          const dot = make("div", "wsbook-race-dot", { title: `${(1000 * (arrived - published)).toFixed(1)} ms` });
          dot.style.left = `${place(arrived)}%`;
          lane.track.append(wait, dot);
        }
        lane.drawn = dots.length;
        lane.words.textContent = words;
        lane.track.setAttribute("aria-label", `${lane.name}: ${words}`);
      });
      const running = view.state === "running";
      cursor.style.left = `${place(view.now)}%`;
      cursor.hidden = !running;
      race.dataset.state = view.state;
      start.disabled = running;
      start.textContent = view.state === "ready" ? "Start" : running ? "Running" : "Again";
      say(state, view.words);
      caption.textContent = view.caption;
    }

    start.addEventListener("click", () => {
      start.disabled = true;
      if (!reached(model, { do: "start" })) say(state, KERNEL_GONE);
    });
    model.on("change:_view", update);
    update();
    return () => model.off("change:_view", update);
  },
};
