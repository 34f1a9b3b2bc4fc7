// Recording: one press starts it, one stops it; while it is on nobody can overlook it.

import { api } from "./access.js";
import { announce } from "./announce.js";
import { byId, setHidden, setText } from "./dom.js";
import { bytes, clock, count, roughly } from "./format.js";

export class Recording {
  #button = byId("record");
  #label = this.#button.querySelector(".label");
  #line = byId("recording");
  #busy = false;
  #refusal = "";
  #now = { state: "off" };

  constructor() {
    this.#button.addEventListener("click", () => this.toggle());
  }

  async toggle() {
    if (this.#busy) return;
    this.#busy = true;
    this.#refusal = "";
    try {
      this.show(await api("POST", this.#now.state === "on" ? "/api/record/stop" : "/api/record/start"));
    } catch (error) {
      this.#refusal = error.message;
      announce(`Recording: ${error.message}`);
      this.show(this.#now);
    } finally {
      this.#busy = false;
    }
  }

  /** @param {object} recording the server's record of it */
  show(recording) {
    if (!recording) return;
    const before = this.#now.state;
    this.#now = recording;
    const on = recording.state === "on";
    if (on || before !== recording.state) this.#refusal = on ? "" : this.#refusal;
    const failure = recording.state === "failed" ? recording.error ?? "it stopped without a reason" : this.#refusal;

    document.body.dataset.recording = failure ? "failed" : recording.state ?? "off";
    this.#button.setAttribute("aria-pressed", String(on));
    setText(this.#label, on ? "Stop" : "Record");
    setText(this.#line, on ? told(recording) : failure ? `Not recording: ${failure}` : "");
    setHidden(this.#line, !on && !failure);
    document.title = on ? `● Recording ${clock(recording.seconds)} – vultus` : "vultus";
    if (before !== recording.state) {
      if (on) announce(`Recording to ${recording.file}`);
      else if (before === "on") announce(failure ? `Recording failed: ${failure}` : "Recording stopped");
    }
  }
}

function told({ file, seconds, bytes: size, dropped, left_s: left }) {
  const parts = ["Recording", clock(seconds), bytes(size), file];
  if (Number.isFinite(left)) parts.push(`disk full in ${roughly(left)}`);
  if (dropped > 0) parts.push(`${count(dropped)} frames not written`);
  return parts.filter(Boolean).join(" · ");
}
