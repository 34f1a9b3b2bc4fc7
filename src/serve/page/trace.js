// What the results were in the last minute: one instant a frame set, in order.

const KEPT_MS = 75_000;

/**
 * @typedef {object} Instant
 * @property {number} index   counts the instants of this page
 * @property {number} set
 * @property {number} at      ms, the results' own time
 * @property {object[]} records  result records, one a person
 * @property {number} stale   sets that the server dropped just before this one
 * @property {number} unseen  sets that this page was not told of: too slow, or not connected
 */

export class Trace {
  /** @type {Instant[]} */
  instants = [];
  #next = 0;
  #interrupted = false;

  /** @param {() => void} onBack called when time goes back; it is to clear the trace and what was made of it */
  constructor(onBack) {
    this.onBack = onBack;
  }

  get newest() {
    return this.instants.at(-1);
  }

  clear() {
    this.instants = [];
    this.#interrupted = false;
  }

  /** The connection was away: what is missing next was not dropped, only not seen. */
  interrupt() {
    this.#interrupted = true;
  }

  /** Adds a message's records. `missed`: sets left out before the first of them. */
  add(records, missed) {
    let unseen = missed || 0;
    for (const record of records) {
      if (!Number.isFinite(record?.set) || !Number.isFinite(record.at_ns)) continue;
      const at = record.at_ns / 1e6;
      if (at < this.newest?.at) this.onBack();
      const last = this.newest;
      if (last && last.set === record.set && last.at === at) {
        last.records.push(record);
        continue;
      }
      const gap = last ? Math.max(0, record.set - last.set - 1) : 0;
      const instant = { index: this.#next++, set: record.set, at, records: [record], stale: 0, unseen: 0 };
      instant.unseen = this.#interrupted ? gap : Math.min(gap, unseen);
      this.#interrupted = false;
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
}
