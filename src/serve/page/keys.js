// The keyboard. What a focused control or canvas has taken for itself is left to it.

import { dialogOpen } from "./dialogs.js";
import { byId } from "./dom.js";
import { always } from "./remember.js";

const CONTROLS = "a, button, input, [role=button]";
// Where these have the focus the key is theirs: it presses or scrolls them. And nobody who is among the controls
// records by a slip.
const LEFT_TO = { " ": CONTROLS, r: CONTROLS, ArrowLeft: ".scroll", ArrowRight: ".scroll" };

/** @param {Record<string, () => void>} actions by `KeyboardEvent.key`, letters in lower case; `digit` takes 0 to 8 */
export function setUpKeys(actions) {
  // Who speaks to the computer types letters without meaning to (WCAG 2.1.4).
  const characters = byId("character-keys");
  characters.checked = always.get("character-keys") !== "off";
  characters.addEventListener("change", () => always.set("character-keys", characters.checked ? "on" : "off"));

  // A button that the mouse presses does not take the focus: the next space bar pauses, and does not press it again.
  addEventListener("mousedown", (event) => event.target.closest?.("button") && event.preventDefault());
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || dialogOpen()) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (LEFT_TO[key] && event.target.closest?.(LEFT_TO[key])) return;
    if (key.length === 1 && key !== " " && !characters.checked) return;
    const action = /^[1-9]$/.test(key) ? () => actions.digit(Number(key) - 1) : actions[key];
    if (!action) return;
    event.preventDefault();
    // Held down, only the arrows go on.
    if (!event.repeat || key.startsWith("Arrow")) action();
  });
}
