// The only way into the document: elements by name, attributes by name, and text as text nodes.
// What strangers wrote is never markup here; the page's Trusted Types policy makes the browser refuse it, too.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element: `el("p", { class: "note" }, "text", other)`. Texts become text nodes. */
export const el = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);

/** The same for what is drawn. */
export const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, name), attributes, children);

export const byId = (id) => document.getElementById(id);

/** Set a text, and touch the document only when it is another one. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
