// The last minute on a canvas: it scrolls with the results' own time, can be read with pointer and keys, and a click
// goes to that instant.

import { CLASSES, classOf, personColour } from "./classes.js";
import { byId, make, setAria, setText } from "./dom.js";
import { number, percent } from "./format.js";
import { AREA, BAND, DROPPED, LANE, LATENCY, Lanes } from "./lanes.js";
import { Strip } from "./strip.js";
import { density, fit } from "./surface.js";
import { inks } from "./theme.js";

const SPAN_MS = 60_000;
const REDRAW_MS = 100;
const GUTTER = 56;
const AXIS = 18;
const MOST_LANES = 6;

export class Timeline {
  #canvas = byId("timeline");
  #readout = byId("readout");
  #hint = this.#readout.textContent;
  #strip = new Strip();
  #lanes = new Lanes(this.#strip);
  #layout = "";
  #painted = -1;
  #drawnAt = 0;
  #cursor = null;
  #frozen = null;
  #selected = null;
  #inks = inks(this.#canvas);

  /** @param {import("./trace.js").Trace} trace @param {(at: number) => void} goTo */
  constructor(trace, goTo) {
    this.trace = trace;
    this.goTo = goTo;
    new ResizeObserver(() => this.draw()).observe(this.#canvas.parentElement);
    this.#listen();
    showLegend();
  }

  /** Stops scrolling, with a mark at that time; null goes on. */
  freeze(at) {
    this.#frozen = at === null ? null : { end: Math.max(at, this.#frozen?.end ?? this.trace.newest?.at ?? at), at };
    this.draw();
  }

  mark(selected) {
    this.#selected = selected;
    this.draw();
  }

  clear() {
    this.#layout = "";
    this.#cursor = null;
    this.draw();
  }

  /** The theme has changed. */
  repaint() {
    this.#inks = inks(this.#canvas);
    this.clear();
  }

  /** Draws if the last time is long enough ago. */
  tick() {
    if (performance.now() - this.#drawnAt >= REDRAW_MS && !this.#frozen) this.draw();
  }

  draw() {
    this.#drawnAt = performance.now();
    // What was pointed at is not kept any more.
    if (this.#cursor !== null && this.#cursor < this.trace.instants[0]?.at) this.#cursor = null;
    const width = this.#canvas.parentElement.clientWidth - GUTTER;
    if (width < 50) return;
    this.#paintNew(width);
    const lanes = this.#lanes;
    const height = lanes.height + AXIS;
    if (this.#canvas.style.height !== `${height}px`) this.#canvas.style.height = `${height}px`;
    const pen = fit(this.#canvas, width + GUTTER, height);
    const scale = density();
    pen.clearRect(0, 0, width + GUTTER, height);
    this.#drawAxes(pen, width, height);
    this.#strip.copyTo(pen, lanes.column(this.#end), Math.round(GUTTER * scale), 0);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    this.#drawNames(pen);
    this.#drawCursors(pen, height);
    this.#tellCursor();
  }

  get #end() {
    return this.#frozen?.end ?? this.trace.newest?.at ?? 0;
  }

  #x(at) {
    return GUTTER + (this.#lanes.column(at) - this.#lanes.column(this.#end) + this.#strip.width - 1) / density();
  }

  #at(x) {
    return this.#end + ((x - GUTTER) * density() - this.#strip.width + 1) * this.#lanes.msPerColumn;
  }

  // New instants are painted at the end of the strip; all of them when the lanes, the axis or the width have changed.
  #paintNew(width) {
    const shown = this.trace.instants.filter((instant) => instant.at > this.#end - SPAN_MS && instant.at <= this.#end);
    const people = this.#people(shown);
    const axis = niceAbove(Math.max(10, ...shown.map((instant) => instant.records[0].latency_ms || 0)));
    const columns = Math.floor(width * density());
    const layout = [people, columns, axis].join("/");
    if (layout !== this.#layout) {
      this.#layout = layout;
      this.#lanes.begin(people, columns, density(), SPAN_MS / columns, axis, this.#inks);
      this.#painted = -1;
    }
    for (const instant of shown) {
      if (instant.index <= this.#painted) continue;
      this.#lanes.add(instant);
      this.#painted = instant.index;
    }
  }

  #people(shown) {
    const ids = new Set(shown.flatMap((instant) => instant.records.map((record) => record.person)));
    ids.delete(null);
    ids.delete(undefined);
    return [...ids].sort((a, b) => (b === this.#selected) - (a === this.#selected) || a - b).slice(0, MOST_LANES);
  }

  #drawAxes(pen, width, height) {
    const { ink, line, quiet, font } = this.#inks;
    const { people, axisMs } = this.#lanes;
    const bottom = height - AXIS;
    pen.font = `11px ${font}`;
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    pen.fillStyle = line;
    for (let seconds = 0; seconds <= 60; seconds += 10) pen.fillRect(Math.round(this.#x(this.#end - seconds * 1000)), 0, 1, bottom);
    pen.fillRect(GUTTER, bottom - 2, width, 1);
    pen.fillStyle = quiet;
    for (let seconds = 10; seconds < 60; seconds += 10) pen.fillText(`−${seconds} s`, this.#x(this.#end - seconds * 1000), height - 7);
    pen.textAlign = "right";
    pen.fillText("now", GUTTER + width, height - 7);
    const top = bottom - LATENCY + 10;
    pen.fillText(`${axisMs} ms`, GUTTER - 5, top + 1);
    pen.fillText("latency", GUTTER - 5, (top + bottom) / 2 - 2);
    pen.fillText("0", GUTTER - 5, bottom - 5);
    people.forEach((person, lane) => {
      const y = lane * LANE + AREA / 2;
      pen.fillStyle = personColour(person);
      pen.strokeStyle = ink;
      pen.beginPath();
      pen.roundRect(12, y - 10, 22, 20, 4);
      pen.fill();
      pen.stroke();
      pen.fillStyle = "#0a0e12";
      pen.textAlign = "center";
      pen.font = `600 12px ${font}`;
      pen.fillText(String(person), 23, y + 0.5);
    });
    pen.textAlign = "left";
  }

  // Names the expressions in the bands, where a run of the same one is long enough for its name.
  #drawNames(pen) {
    pen.font = `600 10px ${this.#inks.font}`;
    pen.textAlign = "left";
    this.#lanes.people.forEach((person, lane) => {
      const y = lane * LANE + AREA + 1 + BAND / 2 + 0.5;
      const write = (run) => {
        if (!run) return;
        const [from, to] = [Math.max(GUTTER, this.#x(run.from)), this.#x(run.to)];
        if (to - from < pen.measureText(run.name).width + 10) return;
        pen.fillStyle = run.name === "unsure" ? this.#inks.ink : classOf(run.name).ink;
        pen.fillText(run.name, from + 5, y);
      };
      let run = null;
      for (const instant of this.trace.instants) {
        if (instant.at <= this.#end - SPAN_MS || instant.at > this.#end) continue;
        const name = instant.records.find((record) => record.person === person)?.expression;
        if (run && name === run.name && instant.at - run.to < 500) {
          run.to = instant.at;
        } else {
          write(run);
          run = name ? { name, from: instant.at, to: instant.at } : null;
        }
      }
      write(run);
    });
  }

  #drawCursors(pen, height) {
    pen.fillStyle = this.#inks.ink;
    if (this.#frozen) {
      const x = this.#x(this.#frozen.at);
      pen.fillRect(x - 1, 0, 2, height - AXIS);
      pen.beginPath();
      pen.moveTo(x - 5, 0);
      pen.lineTo(x + 5, 0);
      pen.lineTo(x, 7);
      pen.fill();
    }
    if (this.#cursor !== null && this.#cursor > this.#end - SPAN_MS) pen.fillRect(this.#x(this.#cursor), 0, 1, height - AXIS);
  }

  #tellCursor() {
    const instant = this.#cursor === null ? null : this.trace.nearest(this.#cursor);
    if (!instant) {
      setText(this.#readout, this.#hint);
      this.#setValue(0, "now");
      return;
    }
    const [first] = instant.records;
    const seconds = (this.#end - instant.at) / 1000;
    const people = instant.records
      .filter((record) => record.person != null)
      .map((record) => `person ${record.person} ${record.expression ?? "unsure"} ${percent(record.confidence)}`);
    const dropped = instant.stale ? `; ${instant.stale} dropped just before` : "";
    const unseen = instant.unseen ? `; ${instant.unseen} before it did not reach this page` : "";
    const found = `set ${instant.set}: ${people.join(", ") || "nobody"}; latency ${number(first.latency_ms)} ms, skew ${number(first.skew_ms)} ms, age ${number(first.age_ms, 0)} ms${dropped}${unseen}`;
    setText(this.#readout, `${number(seconds, 1)} s ago, ${found}`);
    // Without its age, which is another one with every drawing: a screen reader would never come to an end.
    this.#setValue(-seconds, found);
  }

  #setValue(seconds, text) {
    setAria(this.#canvas, "valuenow", seconds.toFixed(1));
    setAria(this.#canvas, "valuetext", text);
  }

  #point(at) {
    const oldest = Math.max(this.#end - SPAN_MS, this.trace.instants[0]?.at ?? 0);
    this.#cursor = at === null ? null : Math.min(this.#end, Math.max(oldest, at));
    this.draw();
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointermove", (event) => this.#point(this.#at(event.offsetX)));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    canvas.addEventListener("blur", () => this.#point(null));
    canvas.addEventListener("click", (event) => this.goTo(this.#at(event.offsetX)));
    canvas.addEventListener("keydown", (event) => {
      const ends = { Home: this.#end - SPAN_MS, End: this.#end };
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: 30, PageDown: -30 };
      if (event.key === "Enter" && this.#cursor !== null) this.goTo(this.#cursor);
      else if (event.key in ends) this.#point(ends[event.key]);
      else if (event.key in steps) this.#step(steps[event.key]);
      else return;
      event.preventDefault();
    });
  }

  #step(by) {
    const { instants } = this.trace;
    const here = instants.indexOf(this.trace.nearest(this.#cursor ?? this.#end));
    const next = instants[Math.max(0, Math.min(instants.length - 1, here + by))];
    if (next) this.#point(next.at);
  }
}

function showLegend() {
  for (const { name, colour, kind } of [...CLASSES, { name: "unsure", kind: "hatched" }, { name: "dropped", colour: DROPPED, kind: "tick" }]) {
    const entry = make("li", "", name);
    const swatch = make("i", kind ? `swatch ${kind}` : "swatch");
    if (colour) swatch.style.backgroundColor = colour;
    entry.prepend(swatch);
    byId("legend").append(entry);
  }
}

/** The least of 1, 2 and 5 times a power of ten that is not below a value. */
function niceAbove(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((step) => step * power >= value) * power;
}
