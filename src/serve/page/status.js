// The header's figures: in sync? dropped? how late? And which program this is.

import { byId, make, setData, setHidden, setText, setTitle } from "./dom.js";
import { DROPS, MEANINGS } from "./figures.js";
import { count, number, roughly } from "./format.js";

// Pictures are counted over so long.
const RATE_MS = 2000;

export class Status {
  #fields = new Map();
  /** When pictures came, lately. */
  #pictures = [];
  #run = byId("run");
  #held = byId("held-back");
  #moved = byId("rig-moved");
  #lost = byId("gpu-lost");

  constructor() {
    const fields = [
      ["sets", "sets/s", "Frame sets analysed a second."],
      ["pictures", "pictures/s", "Sets whose pictures come to this page a second; every set is analysed all the same."],
      ["skew", "skew p50 / p95", MEANINGS.skew],
      ["latency", "latency p50 / p99", MEANINGS.latency],
      ["age", "age p50", MEANINGS.age],
      ["drops", "dropped", "Frames and sets dropped since the start, for any reason; the table below says why."],
    ];
    for (const [key, label, title] of fields) {
      const field = make("div", "figure");
      const value = make("dd");
      field.title = title;
      field.append(make("dt", "", label), value);
      byId("figures").append(field);
      this.#fields.set(key, { field, value });
      setText(value, "–");
    }
  }

  /** A set with pictures has come. */
  countPictures() {
    this.#pictures.push(performance.now());
  }

  show(state) {
    const times = state.times_ms ?? {};
    const period = state.sets?.period_ms;
    const page = state.page ?? {};
    setText(this.#run, [state.source, state.runtime, state.device, Number.isFinite(state.uptime_s) && `up ${roughly(state.uptime_s)}`].filter(Boolean).join(" · "));
    setTitle(this.#run, `vultus ${state.vultus ?? ""}, ${state.runtime ?? "?"} on ${state.device ?? "?"}; stamps: ${state.clock ?? "?"}`);

    this.#set("sets", number(state.sets?.per_s));
    const held = page.at_most_per_s < (1000 / period) * 0.95;
    this.#set("pictures", number(this.#picturesPerSecond()), held);
    setText(this.#held, held ? `Pictures ${number(page.at_most_per_s, 0)}/s, held back so that results do not suffer.` : "");
    setHidden(this.#held, !held);
    const moved = state.drift?.verdict === "calibrate-again";
    setText(this.#moved, moved ? `The rig is not where it was calibrated (${state.drift.cameras.join(" and ")}): was a camera moved?` : "");
    setHidden(this.#moved, !moved);
    const lost = state.lost_device;
    setText(this.#lost, lost ? `The GPU (${lost}) failed: the encoder goes on on the ${state.device}, more slowly. The log says why.` : "");
    setHidden(this.#lost, !lost);
    this.#set("skew", `${number(times.skew?.p50)} / ${number(times.skew?.p95)} ms`, times.skew?.p95 > period);
    this.#set("latency", `${number(times.latency?.p50)} / ${number(times.latency?.p99)} ms`, times.latency?.p99 > period);
    this.#set("age", `${number(times.age?.p50, 0)} ms`);
    const drops = allDrops(state);
    this.#set("drops", count(drops), drops > 0);
  }

  #picturesPerSecond() {
    const since = performance.now() - RATE_MS;
    this.#pictures = this.#pictures.filter((at) => at > since);
    return this.#pictures.length / (RATE_MS / 1000);
  }

  #set(key, text, attention = false) {
    const { field, value } = this.#fields.get(key);
    setText(value, text);
    setData(field, "attention", attention);
  }
}

function allDrops(state) {
  const frames = (state.cameras ?? []).flatMap(({ dropped }) => DROPS.filter(([key]) => key !== "stale").map(([key]) => dropped?.[key] ?? 0));
  return frames.reduce((sum, each) => sum + each, state.sets?.stale ?? 0);
}
