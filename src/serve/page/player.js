// What is shown: the newest set that came with pictures, or, paused, one of the last 150 of them.

const KEPT = 150;

/** @typedef {{set: number, instant: ?object, views: object[], heads: object[]}} Pictured */

export class Player {
  /** @type {Pictured[]} */
  #kept = [];
  #place = -1;
  #asked = false;
  paused = false;

  /** @param {() => void} askForOne asks the server for one more set with pictures */
  constructor(askForOne) {
    this.askForOne = askForOne;
  }

  /** @returns {Pictured | undefined} */
  get shown() {
    return this.#kept[this.#place];
  }

  get place() {
    return { behind: this.#kept.length - 1 - this.#place, kept: this.#kept.length };
  }

  /** Keeps a set; true if it is the one to show now. */
  arrive(pictured) {
    this.#kept.push(pictured);
    if (this.#kept.length > KEPT) {
      this.#kept.shift();
      this.#place = Math.max(0, this.#place - 1);
    }
    if (this.paused && !this.#asked && this.#place >= 0) return false;
    this.#asked = false;
    this.#place = this.#kept.length - 1;
    return true;
  }

  pause(paused) {
    this.paused = paused;
    this.#asked = false;
    if (!paused) this.#place = this.#kept.length - 1;
  }

  back() {
    this.#place = Math.max(Math.min(0, this.#kept.length - 1), this.#place - 1);
  }

  forward() {
    if (this.#place < this.#kept.length - 1) {
      this.#place += 1;
    } else {
      this.#asked = true;
      this.askForOne();
    }
  }

  /** Goes to the kept set that is nearest to a time; false if none is kept. */
  goTo(at) {
    if (!this.#kept.length) return false;
    const far = ({ instant }) => Math.abs((instant?.at ?? -Infinity) - at);
    this.#place = this.#kept.reduce((near, each, place) => (far(each) < far(this.#kept[near]) ? place : near), 0);
    return true;
  }

  clear() {
    this.#kept = [];
    this.#place = -1;
    this.#asked = false;
  }
}
