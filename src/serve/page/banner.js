// What the connection is, in the header; and if it is not there, what happens next.

import { announce, byId, setHidden, setText } from "./dom.js";

// Before the first of these the document says "connecting"; later attempts are part of "lost".
const NAMES = { open: "connected", lost: "connection lost", refused: "token needed" };

/** @param {{state: string, ended?: boolean}} change */
export function showConnection({ state, ended }) {
  const before = document.body.dataset.connection;
  document.body.dataset.connection = state;
  setText(byId("connection"), NAMES[state]);
  const [title, text] = explain(state, ended);
  setText(byId("banner-title"), title);
  setText(byId("banner-text"), text);
  setText(byId("banner-action"), "Try now");
  setHidden(byId("banner"), !title);
  if (before !== state && (title || before === "lost")) announce(title || "Connected again.");
}

function explain(state, ended) {
  if (state === "refused") {
    return [
      "This address needs the token that vultus printed when it started.",
      "Open the whole address as the terminal shows it: it ends in #token= and the token.",
    ];
  }
  if (state !== "lost") return ["", ""];
  return [
    ended ? "The run has ended." : "The connection to vultus is lost.",
    `What you see is the last that arrived. This page tries again by itself${ended ? " and goes on when vultus is started anew" : ""}.`,
  ];
}
