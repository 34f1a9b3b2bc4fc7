// The keyboard. What a focused control or canvas has taken for itself is left to it.

import { dialogOpen } from "./dialogs.js";

const controls = "button, a, input, select, textarea, [role=button]";

/** @param {Record<string, () => void>} actions by `KeyboardEvent.key`, letters in lower case; `digit` takes 0 to 8 */
export function setUpKeys(actions) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || dialogOpen()) return;
    if (event.key === " " && event.target.closest?.(controls)?.matches("button")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (/^[1-9]$/.test(key)) actions.digit(Number(key) - 1);
    else if (actions[key]) actions[key]();
    else return;
    event.preventDefault();
  });
}
