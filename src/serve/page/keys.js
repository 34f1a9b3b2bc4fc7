// The keyboard. What a focused control or canvas has taken for itself is left to it.

import { dialogOpen } from "./dialogs.js";

/** @param {Record<string, () => void>} actions by `KeyboardEvent.key`, letters in lower case; `digit` takes 0 to 8 */
export function setUpKeys(actions) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || dialogOpen()) return;
    if (event.key === " " && event.target.closest?.("button")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (/^[1-9]$/.test(key)) actions.digit(Number(key) - 1);
    else if (actions[key]) actions[key]();
    else return;
    event.preventDefault();
  });
  // A button that was clicked must not take the next space for itself: that would stop a recording instead of pausing.
  addEventListener("click", (event) => {
    if (event.detail > 0) event.target.closest?.("button")?.blur();
  });
}
