// The one place that speaks to a screen reader: connection and recording, not expressions thirty times a second.

import { byId } from "./dom.js";

export function announce(text) {
  byId("announce").textContent = text;
}
