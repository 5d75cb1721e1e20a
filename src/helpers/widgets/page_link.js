// A link to a page beside the kernel. Jupyter pages say below which address they, and their proxy, live.

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
  if (base === null || !["127.0.0.1", "localhost", "[::1]"].includes(page.hostname)) return page.href;
  const proxy = `${base.replace(/\/?$/, "/")}proxy/${page.port}`;
  return new URL(proxy + page.pathname + page.search, location.href).href;
}

function jupyterBaseUrl() {
  const element = document.getElementById("jupyter-config-data");
  const base = element ? JSON.parse(element.textContent || "{}").baseUrl : null;
  return base ?? document.body.dataset.baseUrl ?? null;
}
