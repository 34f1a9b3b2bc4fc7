// A drawing that scrolls for ever: a ring of pixel columns, where the newest takes the place of the oldest. So a moment
// is painted once, and showing the last minute is two copies.

export class Strip {
  #canvas = document.createElement("canvas");
  #newest = -1;
  pen = this.#canvas.getContext("2d");

  get width() {
    return this.#canvas.width;
  }

  /** Empties it, with that size. */
  reset(width, height) {
    Object.assign(this.#canvas, { width, height });
    this.#newest = -1;
  }

  /** Clears the columns up to `column` (they count on for ever). */
  advance(column) {
    const first = Math.max(this.#newest + 1, column - this.width + 1);
    if (this.#newest >= 0 && column > this.#newest) this.paint(first, column + 1, () => this.pen.clearRect(first, 0, column + 1 - first, this.#canvas.height));
    this.#newest = Math.max(this.#newest, column);
  }

  /** Calls `draw` with the pen such that column `c` is at x = c; twice if the columns lie across the seam. */
  paint(from, to, draw) {
    const { width } = this;
    for (let turn = Math.floor(from / width); turn <= Math.floor(Math.max(from, to - 1) / width); turn++) {
      this.pen.setTransform(1, 0, 0, 1, -turn * width, 0);
      draw();
    }
  }

  /** Copies the columns that end with `column` to (x, y) of another canvas, in its device pixels. */
  copyTo(context, column, x, y) {
    const { width, height } = this.#canvas;
    const seam = (column + 1) % width;
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (seam < width) context.drawImage(this.#canvas, seam, 0, width - seam, height, x, y, width - seam, height);
    if (seam > 0) context.drawImage(this.#canvas, 0, 0, seam, height, x + width - seam, y, seam, height);
  }
}
