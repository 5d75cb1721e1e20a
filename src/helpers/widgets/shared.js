// What the widgets' scripts share; it stands before each of them.

const KERNEL_GONE = "the kernel was restarted or has ended: run all cells again";

// Whether a message could be sent to the kernel. Jupyter's `send` throws once the widget's kernel is gone.
function reached(model, ...message) {
  try {
    model.send(...message);
    return true;
  } catch (error) {
    console.warn(error);
    return false;
  }
}

// Jupyter pages say below which address they, and their proxy, live.
function jupyterBaseUrl() {
  const element = document.getElementById("jupyter-config-data");
  const base = element ? JSON.parse(element.textContent || "{}").baseUrl : null;
  return base ?? document.body.dataset.baseUrl ?? null;
}

function isThisMachine(hostname) {
  return ["127.0.0.1", "localhost", "[::1]"].includes(hostname);
}

