// Light or dark: as the system has it, until somebody chooses; then as chosen.

import { always } from "./remember.js";

const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = [];

const current = () => always.get("theme") ?? (system.matches ? "dark" : "light");

function apply() {
  document.body.dataset.theme = current();
  for (const listener of listeners) listener();
}

export function toggleTheme() {
  always.set("theme", document.body.dataset.theme === "dark" ? "light" : "dark");
  apply();
}

/** Calls `listener` after every change: canvases have to be drawn anew. */
export const onThemeChange = (listener) => listeners.push(listener);

/** The colours a canvas draws with: its own, which the style sheet sets for the theme. */
export function inks(canvas) {
  const style = getComputedStyle(canvas);
  return { ink: style.color, surface: style.backgroundColor, line: style.borderTopColor, quiet: style.caretColor, font: style.fontFamily };
}

system.addEventListener("change", apply);
apply();
