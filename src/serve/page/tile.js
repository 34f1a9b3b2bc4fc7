// One camera's view: the picture, and over it what was found in exactly that picture.

import { best, classOf, personColour } from "./classes.js";
import { make, setAria, setData, setHidden, setText } from "./dom.js";
import { number, percent } from "./format.js";
import { density, fit } from "./surface.js";

const DARK = "#0a0e12";
// A tile of less pixels has room for the name of an expression, but not for its probability.
const NARROW = 240;
// And here only the most necessary is said.
const TINY = 150;

export class Tile {
  #picture = make("canvas", "picture");
  #marks = make("canvas", "marks");
  #fps = make("span", "fps");
  #note = make("p", "note");
  #size = { width: 0, height: 0 };
  /** What the marks show: the frame's size and the faces, in its pixels. */
  #faces = [];
  #frame = null;

  /** @param {(camera: string) => void} enlarge @param {(person: number) => void} select */
  constructor(camera, place, enlarge, select) {
    this.camera = camera;
    this.node = make("figure", "view");
    this.node.dataset.camera = camera;
    this.node.tabIndex = 0;
    this.node.setAttribute("role", "button");
    if (place < 9) this.node.title = `Enter or ${place + 1}: enlarge`;
    const caption = make("figcaption");
    caption.append(make("span", "name", camera), this.#fps);
    this.node.append(this.#picture, this.#marks, this.#note, caption);
    this.#note.hidden = true;
    for (const canvas of [this.#picture, this.#marks]) canvas.setAttribute("aria-hidden", "true");

    this.node.addEventListener("click", (event) => {
      const face = this.#faceAt(event);
      if (face) select(face.person);
      else enlarge(camera);
    });
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      if (!event.repeat) enlarge(camera);
    });
  }

  get aspect() {
    return this.#frame ? this.#frame.width / this.#frame.height : 16 / 9;
  }

  resize(width, height) {
    if (this.#size.width === width && this.#size.height === height) return;
    this.#size = { width, height };
    this.node.style.width = `${width}px`;
    this.node.style.height = `${height}px`;
    this.node.classList.toggle("narrow", width < NARROW);
    this.node.classList.toggle("tiny", width < TINY);
    this.#tell();
  }

  large(large) {
    this.node.classList.toggle("large", large);
    this.#tell();
  }

  state(camera) {
    setData(this.node, "state", camera.state ?? "on");
    setText(this.#fps, camera.state === "on" ? `${number(camera.fps)} fps` : "");
    this.#tell();
  }

  /**
   * @param {object} pictured the set
   * @param {?{width: number, height: number}} view its picture of this camera, if it has one
   * @param {?ImageBitmap} picture it, decoded
   */
  draw(pictured, view, picture, selected) {
    setData(this.node, "set", pictured.set);
    this.node.classList.toggle("without-frame", !picture);
    this.#faces = [];
    if (picture) {
      this.#frame = { width: view.width || picture.width, height: view.height || picture.height };
      this.#drawPicture(picture);
      for (const record of pictured.instant?.records ?? []) {
        const seen = record.views?.find((each) => each.camera === this.camera);
        if (seen && record.person != null && seen.box?.length === 4) this.#faces.push({ person: record.person, ...seen });
      }
    }
    this.#tell();
    this.mark(selected);
  }

  /** Nothing has been shown yet. */
  clear() {
    delete this.node.dataset.set;
    this.node.classList.remove("without-frame");
    this.#faces = [];
    this.#frame = null;
    this.#picture.width = this.#marks.width = 0;
    this.#tell();
  }

  /** Draws the boxes, landmarks and labels; the selected person's stand out. */
  mark(selected) {
    const { width, height } = this.#size;
    const pen = fit(this.#marks, width, height);
    pen.clearRect(0, 0, width, height);
    if (!this.#faces.length) return;
    const place = this.#placement();
    const size = width > 360 ? 12 : 10.5;
    pen.font = `600 ${size}px system-ui, sans-serif`;
    pen.textBaseline = "middle";
    const labels = [];
    for (const face of this.#faces) {
      pen.globalAlpha = selected == null || selected === face.person ? 1 : 0.4;
      drawFace(pen, face, place, face.person === selected);
      labels.push(drawLabel(pen, face, place, size, { width, height }, labels));
    }
    pen.globalAlpha = 1;
  }

  // Never larger than the picture: enlarging it is the compositor's work, and free.
  #drawPicture(picture) {
    const { width, height } = picture;
    const scale = Math.min(1, (this.#size.width * density()) / width);
    const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
    if (this.#picture.width !== w || this.#picture.height !== h) Object.assign(this.#picture, { width: w, height: h });
    this.#picture.getContext("2d", { alpha: false }).drawImage(picture, 0, 0, w, h);
  }

  // The picture is fitted into the tile whole (object-fit: contain); a box has to follow it.
  #placement() {
    const { width, height } = this.#size;
    const scale = Math.min(width / this.#frame.width, height / this.#frame.height);
    return { scale, left: (width - this.#frame.width * scale) / 2, top: (height - this.#frame.height * scale) / 2 };
  }

  #faceAt(event) {
    if (!this.#frame || !event.clientX) return undefined;
    const bounds = this.#marks.getBoundingClientRect();
    const { scale, left, top } = this.#placement();
    const x = (event.clientX - bounds.left - left) / scale;
    const y = (event.clientY - bounds.top - top) / scale;
    return this.#faces.find(({ box: [bx, by, bw, bh] }) => x >= bx && x <= bx + bw && y >= by && y <= by + bh);
  }

  #tell() {
    const { state } = this.node.dataset;
    const set = this.node.dataset.set !== undefined;
    let [word, more] = ["", ""];
    if (state === "lost") [word, more] = ["lost", "trying to open it again"];
    else if (state === "silent") [word, more] = ["silent", "no frames just now"];
    else if (!set) word = "waiting";
    else if (this.node.classList.contains("without-frame")) word = "no frame in this set";
    setText(this.#note, more && this.#size.width >= TINY ? `${word}: ${more}` : word);
    setHidden(this.#note, !word);
    const camera = state === "lost" || state === "silent" ? `${this.camera}, ${word}` : this.camera;
    setAria(this.node, "label", `View of ${camera}: ${this.node.classList.contains("large") ? "all views again" : "enlarge"}`);
  }
}

function drawFace(pen, face, { scale, left, top }, strong) {
  const [x, y, w, h] = face.box.map((value) => value * scale);
  const colour = personColour(face.person);
  const [x0, y0] = [left + x, top + y];
  pen.lineJoin = "round";
  for (const [style, line] of [["rgb(0 0 0 / 0.65)", strong ? 5.5 : 3.5], [colour, strong ? 3 : 1.5]]) {
    pen.strokeStyle = style;
    pen.lineWidth = line;
    pen.strokeRect(x0, y0, w, h);
  }
  for (const [px, py] of face.landmarks ?? []) {
    pen.beginPath();
    pen.arc(left + px * scale, top + py * scale, strong ? 2.6 : 2, 0, Math.PI * 2);
    pen.lineWidth = 1.5;
    pen.strokeStyle = "rgb(0 0 0 / 0.65)";
    pen.stroke();
    pen.fillStyle = colour;
    pen.fill();
  }
}

/** Draws a face's label above its box, or where it covers none of the `taken` ones; returns the place it took. */
function drawLabel(pen, face, { scale, left, top }, size, room, taken) {
  const [x, y, , h] = face.box.map((value) => value * scale);
  const says = best(face.probabilities);
  const id = String(face.person);
  const text = room.width < NARROW ? says.name : `${says.name} ${percent(says.probability)}`;
  const tall = size + 7;
  const idWide = Math.max(tall, pen.measureText(id).width + 8);
  const wide = idWide + pen.measureText(text).width + 22;
  const lx = Math.max(0, Math.min(room.width - wide, left + x - 1));
  const above = top + y - tall - 2;
  const below = top + y + h + 2;
  const free = (ly) => ly >= 0 && ly + tall <= room.height
    && !taken.some((other) => lx < other.x + other.wide && other.x < lx + wide && Math.abs(ly - other.y) < tall);
  const ly = [above, below, above - tall - 1, below + tall + 1].find(free) ?? Math.max(0, above);

  pen.fillStyle = "rgb(10 14 18 / 0.82)";
  pen.fillRect(lx, ly, wide, tall);
  pen.fillStyle = personColour(face.person);
  pen.fillRect(lx, ly, idWide, tall);
  pen.fillStyle = DARK;
  pen.fillText(id, lx + (idWide - pen.measureText(id).width) / 2, ly + tall / 2 + 0.5);
  pen.fillStyle = classOf(says.name).colour;
  pen.fillRect(lx + idWide + 5, ly + tall / 2 - 4, 8, 8);
  pen.fillStyle = "#ffffff";
  pen.fillText(text, lx + idWide + 17, ly + tall / 2 + 0.5);
  return { x: lx, y: ly, wide };
}
