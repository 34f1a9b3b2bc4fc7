// What the results were in the last minute: one instant a frame set, in order, on a time axis that only goes forward.

const KEPT_MS = 75_000;
// A jump ahead of this length is another recording or another clock, not a pause of the cameras.
const LONGEST_GAP_MS = 60_000;

/**
 * @typedef {object} Instant
 * @property {number} index   counts the instants of this page
 * @property {number} set
 * @property {number} at      ms; `at_ns`, moved on where a replay began anew
 * @property {object[]} records  result records, one a person
 * @property {number} stale   sets that the server dropped just before this one
 * @property {number} unseen  sets that this page was too slow to be told of
 */

export class Trace {
  /** @type {Instant[]} */
  instants = [];
  #next = 0;
  #shift = 0;

  get newest() {
    return this.instants.at(-1);
  }

  clear() {
    this.instants = [];
    this.#shift = 0;
  }

  /** Adds a message's records. `missed`: sets left out before the first of them. */
  add(records, missed) {
    let unseen = missed || 0;
    for (const record of records) {
      if (!Number.isFinite(record?.set) || !Number.isFinite(record.at_ns)) continue;
      const last = this.newest;
      if (last && last.set === record.set && last.records[0].at_ns === record.at_ns) {
        last.records.push(record);
        continue;
      }
      const gap = last ? Math.max(0, record.set - last.set - 1) : 0;
      const instant = { index: this.#next++, set: record.set, at: this.#time(record), records: [record], stale: 0, unseen: 0 };
      instant.unseen = Math.min(gap, unseen);
      instant.stale = gap - instant.unseen;
      unseen = 0;
      this.instants.push(instant);
    }
    const oldest = (this.newest?.at ?? 0) - KEPT_MS;
    const keep = this.instants.findIndex((instant) => instant.at >= oldest);
    if (keep > 64) this.instants.splice(0, keep);
  }

  /** The newest instant of that set. */
  find(set) {
    return this.instants.findLast((instant) => instant.set === set);
  }

  /** The instant that is nearest to a time. */
  nearest(at) {
    let low = 0;
    let high = this.instants.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.instants[middle].at < at) low = middle + 1;
      else high = middle;
    }
    const [before, after] = [this.instants[low - 1], this.instants[low]];
    return before && after && at - before.at < after.at - at ? before : after;
  }

  // A replay that begins anew goes back in time; here it goes on one period after the last set.
  #time(record) {
    const own = record.at_ns / 1e6;
    const last = this.newest;
    if (!last) return own + this.#shift;
    const step = own + this.#shift - last.at;
    if (step <= 0 || step > LONGEST_GAP_MS) this.#shift = last.at + 33 - own;
    return own + this.#shift;
  }
}
