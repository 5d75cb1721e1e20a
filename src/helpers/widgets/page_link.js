// A link to a page that a server on the kernel's machine serves.

import { make, throughProxy } from "./shared.js";

export default {
  render({ model, el }) {
    const address = model.get("_address");
    const href = (throughProxy(address) ?? new URL(address)).href;
    const link = make("a", "wsbook-page-link", { href, target: "_blank", rel: "noopener" });
    link.textContent = `${model.get("_text")} ↗`;
    link.style.color = "var(--jp-content-link-color, #1976d2)";
    link.style.textDecoration = "underline";
    el.append(link);
  },
};
