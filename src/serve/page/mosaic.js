// All views side by side, as large as the space allows; or one of them large and the others as a strip.

import { byId, make, setChildren, setStyle } from "./dom.js";
import { Tile } from "./tile.js";

const GAP = 6;
// So many views stand beside a large one; more stand below it, in rows.
const MOST_BESIDE = 4;

export class Mosaic {
  #root = byId("views");
  #empty = make("p", "empty", "No camera yet.");
  /** @type {Tile[]} */
  #tiles = [];
  #large = null;
  #width = 0;
  #last = null;

  /** @param {() => void} redraw draws the shown set again, after the tiles have got another size */
  constructor(redraw, select) {
    this.redraw = redraw;
    this.select = select;
    new ResizeObserver(() => this.#layout()).observe(this.#root.parentElement);
    addEventListener("resize", () => this.#layout());
  }

  get size() {
    return this.#tiles.length;
  }

  cameras(list) {
    const names = list.map((camera) => camera.name);
    if (names.join("\n") !== this.#tiles.map((tile) => tile.camera).join("\n")) {
      const old = new Map(this.#tiles.map((tile) => [tile.camera, tile]));
      this.#tiles = names.map((name, place) => old.get(name) ?? new Tile(name, place, (camera) => this.enlarge(camera), this.select));
      if (!names.includes(this.#large)) this.#large = null;
      this.#layout(true);
    }
    this.#tiles.forEach((tile, place) => tile.state(list[place]));
  }

  /** @param {Map<string, ImageBitmap>} decoded by camera */
  draw(pictured, decoded, selected) {
    const aspect = this.#aspect();
    for (const tile of this.#tiles) {
      const view = pictured.views.find((each) => each.camera === tile.camera);
      tile.draw(pictured, view, decoded.get(tile.camera), selected);
    }
    this.#last = pictured;
    if (this.#aspect() !== aspect) this.#layout(true);
  }

  clear() {
    this.#last = null;
    for (const tile of this.#tiles) tile.clear();
  }

  mark(selected) {
    if (this.#last) for (const tile of this.#tiles) tile.mark(selected);
  }

  /** Makes a view large, or, if it is, small again. */
  enlarge(camera) {
    this.#large = this.#large === camera ? null : camera;
    this.#layout(true);
  }

  enlargeNth(place) {
    if (this.#tiles[place]) this.enlarge(this.#tiles[place].camera);
  }

  /** Makes all views equal again. */
  shrink() {
    if (this.#large !== null) this.enlarge(this.#large);
  }

  #aspect() {
    return Math.max(...this.#tiles.map((tile) => tile.aspect), 0.5);
  }

  #layout(force = false) {
    const width = this.#root.clientWidth;
    const height = Math.max(260, innerHeight * (innerWidth < 700 ? 0.62 : 0.56));
    const key = `${width} ${Math.round(height)}`;
    if (!width || (key === this.#width && !force)) return;
    this.#width = key;

    const focused = document.activeElement;
    const large = this.#tiles.find((tile) => tile.camera === this.#large);
    const others = this.#tiles.filter((tile) => tile !== large);
    setChildren(this.#root, this.#tiles.length ? [...(large ? [large] : []), ...others].map((tile) => tile.node) : [this.#empty]);
    if (this.#root.contains(focused)) focused.focus({ preventScroll: true });
    for (const tile of this.#tiles) tile.large(tile === large);

    const aspect = this.#aspect();
    const beside = large && others.length > 0 && others.length <= MOST_BESIDE && width > 600;
    this.#root.classList.toggle("beside", Boolean(beside));
    if (beside) {
      const n = others.length;
      // Heights are solved such that the large one and the column of the others fill the width together.
      const fills = (width - GAP + (aspect * (n - 1) * GAP) / n) / (aspect * (1 + 1 / n));
      const tall = Math.floor(Math.min(height, fills));
      const each = Math.floor((tall - (n - 1) * GAP) / n);
      large.resize(Math.floor(tall * aspect), tall);
      for (const tile of others) tile.resize(Math.floor(each * aspect), each);
      setStyle(this.#root, "--others", String(n));
    } else if (large) {
      const strip = bestGrid(others.length, width, height * 0.24, aspect);
      const room = height - (strip.height + GAP) * strip.rows;
      large.resize(width, Math.floor(Math.min(room, width / aspect)));
      for (const tile of others) tile.resize(strip.width, strip.height);
    } else {
      const grid = bestGrid(this.#tiles.length, width, height, aspect);
      for (const tile of this.#tiles) tile.resize(grid.width, grid.height);
    }
    this.redraw();
  }
}

/** The number of columns that makes `n` tiles of an aspect largest within a space. */
function bestGrid(n, width, height, aspect) {
  let best = { width: 0, height: 0, rows: 0 };
  for (let columns = 1; columns <= n; columns++) {
    const rows = Math.ceil(n / columns);
    const across = Math.min((width - GAP * (columns - 1)) / columns, ((height - GAP * (rows - 1)) / rows) * aspect);
    if (across > best.width) best = { width: Math.floor(across), height: Math.floor(across / aspect), rows };
  }
  return best;
}
