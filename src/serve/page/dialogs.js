// The notice that comes before the first picture, and the help.

import { byId, make, setText } from "./dom.js";
import { DROPS, OTHER, TIMES } from "./figures.js";
import { always } from "./remember.js";

const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;
const BY_NETWORK = "Pictures go over your network from the machine that runs vultus to this browser, unencrypted unless you have seen to it, and nowhere else.";

const notice = byId("notice");
const help = byId("help-dialog");

export const accepted = () => always.get("notice") === "accepted" || acceptedNow;
let acceptedNow = false;

export const dialogOpen = () => notice.open || help.open;

export function openHelp() {
  help.showModal();
}

/** @param {() => void} onAccept called when the notice is accepted for the first time */
export function setUpDialogs(onAccept) {
  for (const [name, meaning] of [...TIMES, ...DROPS, ...OTHER]) {
    const entry = make("div");
    entry.append(make("dt", "", name.replace("_", " ")), make("dd", "", meaning));
    byId("glossary").append(entry);
  }
  if (!LOOPBACK.test(location.hostname)) for (const node of document.querySelectorAll(".where")) setText(node, BY_NETWORK);
  byId("help").addEventListener("click", openHelp);
  byId("help-close").addEventListener("click", () => help.close());
  byId("privacy").addEventListener("click", () => notice.showModal());
  // Only the button accepts; Escape closes the notice once it has been accepted.
  notice.addEventListener("cancel", (event) => accepted() || event.preventDefault());
  notice.addEventListener("close", () => accepted() || notice.showModal());
  byId("notice-accept").addEventListener("click", () => {
    const first = !accepted();
    acceptedNow = true;
    always.set("notice", "accepted");
    notice.close();
    if (first) onAccept();
  });
  if (!accepted()) notice.showModal();
}
