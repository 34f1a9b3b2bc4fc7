// How one instant looks on the time line: a lane a person (stacked probabilities, and the expression as a band) and the
// lane of latencies with the drops.

import { CLASSES, classOf } from "./classes.js";
import { HATCH, hatching } from "./surface.js";

export const AREA = 38;
export const BAND = 14;
export const LANE = AREA + BAND + 6;
export const LATENCY = 44;
// A result stands for the time until the next one; after this it is a gap.
const HOLD_MS = 250;
export const DROPPED = "#e5484d";

export class Lanes {
  /** @param {import("./strip.js").Strip} strip */
  constructor(strip) {
    this.strip = strip;
  }

  /** Begins anew: whose lanes, how wide a column is, how high the latency axis reaches. */
  begin(people, columns, scale, msPerColumn, axisMs, inks) {
    Object.assign(this, { people, scale, msPerColumn, axisMs, inks });
    this.last = null;
    // The hatching's period divides the width, so that the seam of the ring is not seen.
    this.strip.reset(Math.max(HATCH, columns - (columns % HATCH)), Math.ceil(this.height * scale));
    this.faint = hatching(this.strip.pen, inks.surface);
  }

  get height() {
    return this.people.length * LANE + LATENCY;
  }

  column(at) {
    return Math.floor(at / this.msPerColumn);
  }

  add(instant) {
    const column = this.column(instant.at);
    const { last } = this;
    this.strip.advance(column);
    if (last) {
      const from = this.column(last.at);
      const held = instant.at - last.at <= HOLD_MS ? column : Math.min(column, this.column(last.at + HOLD_MS));
      if (held > from) this.#paintPeople(last, from, held);
    }
    this.#paintPeople(instant, column, column + 1);
    this.#paintLatency(last, instant, column);
    this.last = instant;
  }

  #paintPeople(instant, from, to) {
    for (const record of instant.records) {
      const lane = this.people.indexOf(record.person);
      if (lane >= 0) this.strip.paint(from, to, () => this.#paintPerson(record, lane * LANE, from, to));
    }
  }

  #paintPerson({ expression, probabilities }, top, from, to) {
    const { pen } = this.strip;
    const { scale } = this;
    const wide = to - from;
    const unsure = expression === "unsure" || expression == null;
    pen.clearRect(from, top * scale, wide, LANE * scale);
    let y = (top + AREA) * scale;
    for (const { name, colour } of CLASSES) {
      const tall = (probabilities?.[name] ?? 0) * AREA * scale;
      y -= tall;
      pen.fillStyle = colour;
      pen.fillRect(from, y, wide, tall);
    }
    pen.fillStyle = unsure ? this.inks.line : classOf(expression).colour;
    pen.fillRect(from, (top + AREA + 1) * scale, wide, BAND * scale);
    if (unsure) {
      pen.fillStyle = this.faint;
      pen.fillRect(from, top * scale, wide, (AREA + 1 + BAND) * scale);
    }
  }

  #paintLatency(last, instant, column) {
    const { pen } = this.strip;
    const { scale } = this;
    const bottom = this.height - 2;
    const y = (each) => (bottom - Math.min(1, (each.records[0].latency_ms || 0) / this.axisMs) * (LATENCY - 12)) * scale;
    const from = last && instant.at - last.at <= HOLD_MS ? this.column(last.at) : column;
    this.strip.paint(from, column + 1, () => {
      pen.strokeStyle = this.inks.ink;
      pen.lineWidth = scale;
      pen.beginPath();
      pen.moveTo(from + 0.5, y(from === column ? instant : last));
      pen.lineTo(column + 0.5, y(instant) + 0.01);
      pen.stroke();
      if (instant.stale || instant.unseen) {
        pen.fillStyle = instant.stale ? DROPPED : this.inks.quiet;
        pen.fillRect(column - scale / 2, (this.height - LATENCY + 2) * scale, 2 * scale, 10 * scale);
      }
    });
  }
}
