// The few things that every part does to the document. Each writes only what has changed: writing makes layout work.

export const byId = (id) => document.getElementById(id);

/** An element with a class and, where given, a text. */
export function make(tag, className = "", text = undefined) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) setText(node, text);
  return node;
}

// What was written last. The document gives back another spelling: a colour, say, as rgb().
const written = new WeakMap();

function isNew(node, key, value) {
  if (!written.has(node)) written.set(node, new Map());
  const last = written.get(node);
  if (last.get(key) === value) return false;
  last.set(key, value);
  return true;
}

export function setText(node, text) {
  if (isNew(node, "text", text)) node.textContent = text;
}

export function setData(node, key, value) {
  const text = String(value);
  if (node.dataset[key] !== text) node.dataset[key] = text;
}

export function setStyle(node, property, value) {
  if (isNew(node, property, value)) node.style.setProperty(property, value);
}

export function setAria(node, property, text) {
  if (isNew(node, `aria-${property}`, text)) node.setAttribute(`aria-${property}`, text);
}

export function setTitle(node, text) {
  if (node.title !== text) node.title = text;
}

export function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

/** Makes `parent`'s children be `wanted`, in that order, and moves only what is out of place. */
export function setChildren(parent, wanted) {
  for (const child of [...parent.children]) if (!wanted.includes(child)) child.remove();
  wanted.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
}

/** The one place that speaks to a screen reader: connection and recording, not expressions thirty times a second. */
export function announce(text) {
  byId("announce").textContent = text;
}
