// A link to a page beside the kernel.

export default {
  render({ model, el }) {
    const link = document.createElement("a");
    link.className = "wsbook-page-link";
    link.style.color = "var(--jp-content-link-color, #1976d2)";
    link.style.textDecoration = "underline";
    link.target = "_blank";
    link.rel = "noopener";
    link.href = reachable(model.get("_address"));
    link.textContent = `${model.get("_text")} ↗`;
    el.append(link);
  },
};

function reachable(address) {
  const page = new URL(address);
  const base = jupyterBaseUrl();
  if (base === null || !isThisMachine(page.hostname)) return page.href;
  const proxy = `${base.replace(/\/?$/, "/")}proxy/${page.port}`;
  return new URL(proxy + page.pathname + page.search, location.href).href;
}
