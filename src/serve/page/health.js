// Where the time goes, what each camera does, and what was dropped why. Filled in place, twice a second.

import { byId, make, setData, setStyle, setText, setTitle } from "./dom.js";
import { DROPS, MEANINGS, TIMES } from "./figures.js";
import { count, number } from "./format.js";

const QUANTILES = ["p50", "p95", "p99", "max"];
const IDENTITIES = { geometry: "told by place", appearance: "told by looks alone" };
const CAMERA_COLUMNS = [
  ["camera", "As configured."],
  ["state", "on: frames arrive; silent: none for a while; lost: gone, vultus tries to open it again."],
  ["fps", "Frames a second, lately."],
  ["received", "Frames taken from the camera."],
  ...DROPS.map(([key, meaning]) => [key.replace("_", " "), `Dropped. ${meaning}`]),
  ["no set", "Frames that fitted into no set (for example of a camera that is faster than the others). Not a loss."],
  ["stalls", "How often it fell silent."],
  ["losses", "How often it was lost."],
  ["re-open", "Attempts to open it again."],
];

export class Health {
  #scale = make("th", "scale");
  #times = TIMES.map(([key]) => timeRow(key));
  #cameraBody = make("tbody");
  /** @type {Map<string, {row: HTMLElement, cells: HTMLElement[]}>} */
  #cameras = new Map();
  #facts = byId("facts");
  #values = new Map();

  constructor() {
    const head = make("tr");
    head.append(heading("ms"), ...QUANTILES.map((name) => heading(name)), this.#scale);
    const body = make("tbody");
    body.append(...this.#times.map(({ row }) => row));
    byId("times").append(table("Times, last 300 sets", head, body));

    const cameraHead = make("tr");
    cameraHead.append(...CAMERA_COLUMNS.map(([name, title]) => heading(name, title)));
    byId("cameras").append(table("Cameras, since the start", cameraHead, this.#cameraBody));
  }

  show(state) {
    this.#showTimes(state.times_ms ?? {});
    this.#showCameras(state.cameras ?? []);
    this.#fact("Sets", `${count(state.sets?.analysed)} analysed of ${count(state.sets?.formed)}, ${count(state.sets?.stale)} stale`);
    this.#fact("Period", `${number(state.sets?.period_ms)} ms`);
    for (const [name, sha] of Object.entries(state.models ?? {})) this.#fact(`Model ${name}`, String(sha).slice(0, 12), String(sha));
    this.#fact("Encoder", `${state.runtime ?? "?"} on ${state.device ?? "?"}`);
    this.#fact("Why there", state.device_reason || "–");
    this.#fact("Clock", state.clock === "arrival" ? "times of arrival" : state.clock === "device" ? "the cameras' own stamps" : "–");
    this.#fact("Rig", state.rig?.path ?? "none");
    this.#fact("Who is who", IDENTITIES[state.identity] ?? "one camera");
    this.#fact("Rig now", drifted(state.drift), "Faces against their epipolar lines: does the rig still stand as it was calibrated?");
    this.#fact("Watchers", count(state.page?.watchers));
    this.#fact("This page costs", `${number(state.page?.cpu_percent)} % of a core to serve`);
  }

  #showTimes(times) {
    const top = Math.max(1, ...TIMES.map(([key]) => times[key]?.p99 ?? 0));
    setText(this.#scale, `0 to ${number(top, 0)} ms: p50, p95, p99`);
    for (const { key, cells, bars } of this.#times) {
      QUANTILES.forEach((name, place) => setText(cells[place], number(times[key]?.[name])));
      bars.forEach((bar, place) => {
        const share = (times[key]?.[["p99", "p95", "p50"][place]] ?? 0) / top;
        setStyle(bar, "width", `${number(Math.min(1, share) * 100)}%`);
      });
    }
  }

  #showCameras(cameras) {
    for (const camera of cameras) {
      if (!this.#cameras.has(camera.name)) this.#cameras.set(camera.name, this.#cameraRow(camera.name));
      const { row, name, cells } = this.#cameras.get(camera.name);
      const values = [
        camera.state ?? "–", number(camera.fps), count(camera.received), ...DROPS.map(([key]) => count(camera.dropped?.[key])),
        count(camera.without_set), count(camera.stalls), count(camera.losses), count(camera.reopen_attempts),
      ];
      values.forEach((value, place) => {
        setText(cells[place], value);
        const dropColumn = place >= 3 && place < 3 + DROPS.length;
        setData(cells[place], "attention", (dropColumn && value !== "0" && value !== "–") || (place === 0 && value !== "on"));
      });
      setTitle(name, camera.description ?? "");
      setData(row, "state", camera.state ?? "on");
    }
    for (const [name, { row }] of this.#cameras) {
      if (cameras.some((camera) => camera.name === name)) continue;
      row.remove();
      this.#cameras.delete(name);
    }
  }

  #cameraRow(camera) {
    const row = make("tr");
    const name = make("th", "", camera);
    name.scope = "row";
    const cells = CAMERA_COLUMNS.slice(1).map(() => make("td"));
    row.append(name, ...cells);
    this.#cameraBody.append(row);
    return { row, name, cells };
  }

  #fact(name, text, title = "") {
    if (!this.#values.has(name)) {
      const fact = make("div");
      const value = make("dd");
      fact.append(make("dt", "", name), value);
      this.#facts.append(fact);
      this.#values.set(name, value);
    }
    setText(this.#values.get(name), text);
    setTitle(this.#values.get(name), title);
  }
}

function drifted(drift) {
  if (!drift) return "–";
  return `${drift.verdict.replace("-", " ")}: ${number(drift.epipolar_px)} px (${drift.cameras.join(", ")})`;
}

function heading(text, title = "") {
  const cell = make("th", "", text);
  cell.scope = "col";
  if (title) cell.title = title;
  return cell;
}

function table(caption, head, body) {
  const node = make("table");
  const top = make("thead");
  top.append(head);
  node.append(make("caption", "", caption), top, body);
  return node;
}

function timeRow(key) {
  const row = make("tr", ["latency", "wait", "skew"].includes(key) ? "sum" : "");
  const name = make("th", "", key);
  name.scope = "row";
  name.title = MEANINGS[key];
  const cells = QUANTILES.map(() => make("td"));
  const bars = ["p99", "p95", "p50"].map((quantile) => make("i", quantile));
  const bar = make("td", "spread");
  bar.append(...bars);
  row.append(name, ...cells, bar);
  return { key, row, cells, bars };
}
