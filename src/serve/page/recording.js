// Recording: one press starts it, one stops it; while it is on nobody can overlook it, and what is not known is not said.

import { api } from "./access.js";
import { announce, byId, setData, setHidden, setText } from "./dom.js";
import { bytes, clock, count, roughly } from "./format.js";

// What a recording keeps of a frame, where that is not all of it.
const KEPT = { faces: "faces only", features: "no pictures" };
// So long is it said why a press did nothing.
const REFUSAL_MS = 10_000;

export class Recording {
  #button = byId("record");
  #label = this.#button.querySelector(".label");
  #line = byId("recording");
  #busy = false;
  #refusal = "";
  #expiry = 0;
  #now = { state: "off" };
  // Whether the server still tells it: after the connection was lost nobody knows.
  #known = false;

  constructor() {
    this.#button.addEventListener("click", () => this.toggle());
  }

  async toggle() {
    if (this.#busy || this.#now.state === "closing") return;
    this.#busy = true;
    this.#refuse("");
    const stops = this.#now.state === "on";
    try {
      this.show(await api("POST", stops ? "/api/record/stop" : "/api/record/start"));
    } catch (error) {
      this.#refuse(stops ? `not stopped: ${error.message}` : error.message);
      announce(`Recording: ${error.message}`);
    } finally {
      this.#busy = false;
    }
  }

  /** @param {object} recording the server's record of it */
  show(recording) {
    if (!recording) return;
    const before = this.#now.state;
    this.#now = recording;
    this.#known = true;
    if (recording.state !== before) {
      this.#refuse("");
      announceChange(before, recording);
    }
    this.#draw();
  }

  /** The connection has changed: only the server's next word tells what the recording does now. */
  connection({ state, ended }) {
    this.#known = false;
    // A run that ends closes its file.
    if (ended) this.show({ state: "off" });
    if (state === "open") this.#refuse("");
    this.#draw();
  }

  #refuse(why) {
    clearTimeout(this.#expiry);
    if (why) this.#expiry = setTimeout(() => this.#refuse(""), REFUSAL_MS);
    this.#refusal = why;
    this.#draw();
  }

  #draw() {
    const refused = this.#refusal && this.#now.state !== "failed" && !underWay(this.#now);
    const { state, text } = refused ? failed(this.#refusal) : tell(this.#now, this.#known);
    setData(document.body, "recording", state);
    setText(this.#label, this.#now.state === "on" ? "Stop" : "Record");
    setText(this.#line, refused ? text : [text, this.#refusal].filter(Boolean).join(" · "));
    setHidden(this.#line, !text);
    document.title = state === "on" ? `● Recording ${clock(this.#now.seconds)} – vultus` : "vultus";
  }
}

const underWay = ({ state }) => state === "on" || state === "closing";
const reason = ({ error }) => error ?? "it stopped without a reason";
const failed = (why) => ({ state: "failed", text: `Not recording: ${why}` });

/** How the page looks (`body[data-recording]`) and what it says. */
function tell(recording, known) {
  const { state, file } = recording;
  if (underWay(recording) && !known) return { state: "unknown", text: `It was recording when the connection was lost: ${written(recording)}` };
  if (state === "on") return { state, text: `Recording · ${figures(recording)}` };
  if (state === "closing") return { state, text: ["Closing the recording…", file].filter(Boolean).join(" · ") };
  if (state === "failed") return failed(reason(recording));
  return { state: "off", text: "" };
}

const written = ({ file, seconds, bytes: size }) => [clock(seconds), bytes(size), file].filter(Boolean).join(" · ");

function figures(recording) {
  const { content, dropped, left_s: left } = recording;
  const parts = [KEPT[content], written(recording)].filter(Boolean);
  if (Number.isFinite(left)) parts.push(`disk full in ${roughly(left)}`);
  if (dropped > 0) parts.push(`${count(dropped)} frames and records not written`);
  return parts.join(" · ");
}

function announceChange(before, recording) {
  const { state } = recording;
  if (state === "on") announce(`Recording to ${recording.file}`);
  else if (!underWay({ state: before }) || underWay(recording)) return;
  else announce(state === "failed" ? `Recording failed: ${reason(recording)}` : "Recording stopped");
}
