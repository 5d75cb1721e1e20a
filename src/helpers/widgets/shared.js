// What the widgets' scripts share.

export const KERNEL_GONE = "the kernel was restarted or has ended: run all cells again";

// An element with a class, attributes and children; strings become text, never HTML.
export function make(tag, cls, attributes = {}, ...children) {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children.filter((child) => child !== null));
  return node;
}

// Escape gives the keys back to the notebook, whose shortcuts work from the cell. Shift+Enter is meant for a
// cell, and doesn't press the button that was clicked last.
export function leaveOnEscape(widget) {
  widget.addEventListener("keydown", (event) => {
    const { key, shiftKey, target, isComposing, defaultPrevented } = event;
    if (key === "Escape" && !isComposing && !defaultPrevented) widget.closest(".jp-Cell")?.focus();
    if (key === "Enter" && shiftKey && target.matches("button")) event.preventDefault();
  });
}

// A screen reader reads a status out each time it is set: set it only when it changes.
export function say(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

// Whether a message could be sent to the kernel. Jupyter's `send` throws once the widget's kernel is gone.
export function reached(model, ...message) {
  try {
    model.send(...message);
    return true;
  } catch (error) {
    console.warn(error);
    return false;
  }
}

// Where Jupyter's proxy makes a server's address reachable from this page, as an http URL; null where there
// is no Jupyter server, or the address isn't on the kernel's machine. A Jupyter page says where it is served.
export function throughProxy(address) {
  const element = document.getElementById("jupyter-config-data");
  const config = element ? JSON.parse(element.textContent || "{}") : {};
  const base = config.baseUrl ?? document.body.dataset.baseUrl ?? null;
  const server = new URL(address);
  if (base === null || !isThisMachine(server.hostname)) return null;
  const path = `${base.replace(/\/?$/, "/")}proxy/${server.port}${server.pathname}${server.search}`;
  return new URL(path, location.href);
}

export function isThisMachine(hostname) {
  return ["127.0.0.1", "localhost", "[::1]"].includes(hostname);
}
