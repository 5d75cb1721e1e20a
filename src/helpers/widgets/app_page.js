// An app's own page in a frame. The kernel says where it is served, and whether it still is.

import { KERNEL_GONE, leaveOnEscape, make, reached, say, throughProxy } from "./shared.js";

const STOPPED = "The server has been stopped. Start it again, and the page comes back.";

export default {
  render({ model, el }) {
    const title = model.get("_title");
    const state = make("div", "wsbook-state", { role: "status" });
    const beside = make(
      "a",
      "wsbook-button wsbook-app-beside",
      { target: "_blank", rel: "noopener" },
      "Open in a tab ↗",
    );
    const reload = make("button", "wsbook-button", { type: "button" }, "Reload");
    const frame = make("iframe", "wsbook-app-frame", { title });
    const head = make("div", "wsbook-head wsbook-app-head", {}, make("span", "wsbook-name", {}, title), reload, beside);
    const page = make(
      "div",
      "wsbook wsbook-app",
      { role: "group", "aria-label": `Page: ${title}` },
      head,
      state,
      frame,
    );
    reload.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes Enter
    frame.style.height = `${model.get("_height")}px`;
    el.classList.add("wsbook-app-widget");
    el.replaceChildren(page);
    leaveOnEscape(page);

    let loaded = null; // what is in the frame: where it is served, and since when

    function load() {
      const { address } = model.get("_view");
      const href = (throughProxy(address) ?? new URL(address)).href;
      beside.href = href;
      frame.src = href;
    }
    // Streamlit's page takes the keyboard when its server has gone, and wouldn't give it back.
    function letGo() {
      if (frame.contentDocument?.querySelector(".stApp")) frame.src = "about:blank";
    }
    function update() {
      const { address, running, since } = model.get("_view");
      page.dataset.running = running;
      reload.disabled = !running;
      say(state, running ? "" : STOPPED);
      const served = `${address} ${since}`;
      if (!running) {
        loaded = null;
        letGo();
      } else if (loaded !== served) {
        loaded = served;
        load();
      }
    }
    function lookForKernel() {
      if (reached(model, { do: "look" })) return;
      page.dataset.running = false;
      reload.disabled = true;
      say(state, KERNEL_GONE);
      letGo();
    }
    const restarted = () => setTimeout(lookForKernel);
    reload.addEventListener("click", load);
    model.on("change:_view", update);
    model.on("comm_live_update", restarted);
    update();
    return () => {
      model.off("change:_view", update);
      model.off("comm_live_update", restarted);
    };
  },
};
