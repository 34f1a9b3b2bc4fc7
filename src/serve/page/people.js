// The people of the shown instant, one card each; who has left fades, and is gone after three seconds.

import { Card } from "./card.js";
import { byId, setChildren, setHidden } from "./dom.js";

const GONE_AFTER_MS = 3000;
const REFRESH_MS = 90;

export class People {
  #root = byId("people");
  #nobody = byId("nobody");
  /** @type {Map<number, Card>} */
  #cards = new Map();
  #selected = null;
  #shownAt = 0;

  constructor(select) {
    this.select = select;
  }

  /** The ids, as the cards are ordered. */
  get ids() {
    return [...this.#cards.keys()].sort((a, b) => a - b);
  }

  /** Shows the newest instant, if the last time is long enough ago for figures to be read. */
  tick(instant) {
    if (performance.now() - this.#shownAt < REFRESH_MS) return;
    this.#shownAt = performance.now();
    this.show(instant);
  }

  /** @param {?import("./trace.js").Instant} instant */
  show(instant) {
    if (!instant) return;
    for (const record of instant.records) {
      if (record.person == null) continue;
      if (!this.#cards.has(record.person)) this.#cards.set(record.person, new Card(record.person, this.select));
      const card = this.#cards.get(record.person);
      card.lastSeen = instant.at;
      card.show(record, this.#selected);
    }
    for (const [person, card] of this.#cards) {
      const away = Math.abs(instant.at - card.lastSeen);
      card.node.classList.toggle("gone", away > 0);
      if (away > GONE_AFTER_MS) this.#cards.delete(person);
    }
    // Nobody else may stay dim for somebody who has left.
    if (this.#selected !== null && !this.#cards.has(this.#selected)) this.select(null);
    this.#order();
  }

  mark(selected) {
    this.#selected = selected;
    for (const card of this.#cards.values()) card.mark(selected);
    this.#order();
  }

  clear() {
    this.#cards.clear();
    this.#order();
  }

  #order() {
    const ids = this.ids.sort((a, b) => (b === this.#selected) - (a === this.#selected));
    setChildren(this.#root, ids.map((id) => this.#cards.get(id).node));
    setHidden(this.#nobody, ids.length > 0);
  }
}
