// Cameras and heads in space, when a calibrated rig is there.

import { classOf, personColour } from "./classes.js";
import { byId } from "./dom.js";
import { add, across, dot, Eye, length, mean, meeting, subtract, times, turnBack, unit } from "./perspective.js";
import { fit } from "./surface.js";
import { inks } from "./theme.js";

const HEAD_M = 0.1;
const GAZE_M = 0.35;
const FRUSTUM_M = 0.18;
const GRID_M = 0.5;

export class Space {
  #panel = null;
  #canvas = null;
  #rigKey = "";
  #cameras = [];
  #eye = new Eye();
  #floor = { centre: [0, 0, 0], reach: 2 };
  #heads = [];
  #expressions = new Map();
  #selected = null;
  #inks = null;

  /** Shows the panel for a rig; without one there is none. */
  rig(rig) {
    const key = JSON.stringify(rig ?? null);
    if (key === this.#rigKey) return;
    this.#rigKey = key;
    this.#cameras = (rig?.cameras ?? []).filter(complete).map(inWorld);
    if (!this.#cameras.length) {
      this.#panel?.remove();
      this.#panel = this.#canvas = null;
      return;
    }
    this.#lookAtAll();
    if (!this.#panel) this.#open();
    this.draw();
  }

  /** @param {object[]} heads @param {?import("./trace.js").Instant} instant tells the expressions */
  show(heads, instant) {
    if (!this.#canvas) return;
    this.#heads = heads.filter((head) => head?.position_m?.length === 3);
    this.#expressions = new Map((instant?.records ?? []).map((record) => [record.person, record.expression]));
    this.draw();
  }

  mark(selected) {
    this.#selected = selected;
    this.draw();
  }

  repaint() {
    if (!this.#canvas) return;
    this.#inks = inks(this.#canvas);
    this.draw();
  }

  draw() {
    if (!this.#canvas?.clientWidth) return;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const pen = fit(this.#canvas, width, height);
    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${this.#inks.font}`;
    pen.textBaseline = "middle";
    const project = this.#eye.projection(width, height);
    this.#drawFloor(pen, project);
    for (const camera of this.#cameras) this.#drawCamera(pen, project, camera);
    const far = (head) => project(head.position_m)?.depth ?? 0;
    for (const head of [...this.#heads].sort((a, b) => far(b) - far(a))) this.#drawHead(pen, project, head);
  }

  #open() {
    const panel = byId("space-panel").content.cloneNode(true);
    byId("health").before(panel);
    this.#canvas = byId("space");
    this.#panel = this.#canvas.closest("section");
    this.#inks = inks(this.#canvas);
    new ResizeObserver(() => this.draw()).observe(this.#canvas);
    this.#listen();
  }

  // The world's up is not known; cameras mostly stand upright, so it is the mean of their own (-y).
  #lookAtAll() {
    const up = unit(mean(this.#cameras.map((camera) => camera.up)));
    const centres = this.#cameras.map((camera) => camera.centre);
    const looked = meeting(this.#cameras) ?? mean(this.#cameras.map(({ centre, ahead }) => add(centre, ahead)));
    const target = mean([mean(centres), looked]);
    const reach = Math.max(...[...centres, looked].map((point) => length(subtract(point, target))), 0.5);
    const lowest = Math.min(...centres.map((centre) => dot(subtract(centre, target), up)), 0) - 0.3;
    Object.assign(this.#eye, { up, target, distance: reach * 2.4 });
    this.#eye.standBeside(mean(centres));
    this.#floor = { centre: add(target, times(up, lowest)), reach: Math.ceil(reach / GRID_M + 1) * GRID_M };
  }

  #drawFloor(pen, project) {
    const { centre, reach } = this.#floor;
    const [first, second] = across(this.#eye.up);
    pen.strokeStyle = this.#inks.line;
    pen.lineWidth = 1;
    for (let at = -reach; at <= reach + 1e-6; at += GRID_M) {
      for (const [along, side] of [[first, second], [second, first]]) {
        const start = add(centre, times(side, at));
        this.#line(pen, project, add(start, times(along, -reach)), add(start, times(along, reach)));
      }
    }
  }

  #drawCamera(pen, project, { name, centre, corners }) {
    pen.strokeStyle = this.#inks.ink;
    pen.lineWidth = 1.25;
    corners.forEach((corner, place) => {
      this.#line(pen, project, centre, corner);
      this.#line(pen, project, corner, corners[(place + 1) % 4]);
    });
    const at = project(centre);
    if (!at) return;
    pen.fillStyle = this.#inks.ink;
    pen.textAlign = "center";
    const lowest = Math.max(at.y, ...corners.map((corner) => project(corner)?.y ?? at.y));
    pen.fillText(name, at.x, lowest + 11);
  }

  #drawHead(pen, project, head) {
    const at = project(head.position_m);
    if (!at) return;
    const radius = Math.max(7, HEAD_M * at.size);
    pen.globalAlpha = this.#selected == null || this.#selected === head.person ? 1 : 0.4;
    const gaze = head.forward?.length === 3 ? add(head.position_m, times(unit(head.forward), GAZE_M)) : null;
    const towardsUs = gaze && (project(gaze)?.depth ?? 0) < at.depth;
    if (gaze && !towardsUs) this.#drawGaze(pen, project, head.position_m, gaze);
    const expression = this.#expressions.get(head.person) ?? "unsure";
    pen.beginPath();
    pen.arc(at.x, at.y, radius, 0, Math.PI * 2);
    pen.fillStyle = classOf(expression).colour;
    pen.fill();
    pen.lineWidth = 3;
    pen.strokeStyle = personColour(head.person);
    pen.stroke();
    if (towardsUs) this.#drawGaze(pen, project, head.position_m, gaze);
    pen.textAlign = "center";
    pen.fillStyle = this.#inks.ink;
    pen.fillText(`${head.person ?? "?"} ${expression}`, at.x, at.y - radius - 11);
    pen.globalAlpha = 1;
  }

  #drawGaze(pen, project, from, to) {
    pen.strokeStyle = this.#inks.ink;
    pen.lineWidth = 3;
    this.#line(pen, project, from, to);
  }

  #line(pen, project, from, to) {
    const [a, b] = [project(from), project(to)];
    if (!a || !b) return;
    pen.beginPath();
    pen.moveTo(a.x, a.y);
    pen.lineTo(b.x, b.y);
    pen.stroke();
  }

  #listen() {
    const canvas = this.#canvas;
    const turn = (azimuth, elevation) => (this.#eye.turn(azimuth, elevation), this.draw());
    const zoom = (factor) => (this.#eye.zoom(factor), this.draw());
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => event.buttons && turn(-event.movementX / 150, event.movementY / 150));
    canvas.addEventListener("wheel", (event) => (event.preventDefault(), zoom(Math.exp(event.deltaY / 600))), { passive: false });
    const keys = {
      ArrowLeft: () => turn(0.1, 0), ArrowRight: () => turn(-0.1, 0), ArrowUp: () => turn(0, 0.1), ArrowDown: () => turn(0, -0.1),
      "+": () => zoom(0.87), "=": () => zoom(0.87), "-": () => zoom(1.15),
    };
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      keys[event.key]();
      event.preventDefault();
    });
  }
}

const complete = (camera) => camera?.rotation?.length === 3 && camera.translation?.length === 3 && camera.matrix?.length === 3;

/** A camera's centre, axes and the corners of its frustum in the world. */
function inWorld({ name, size, matrix, rotation, translation }) {
  const centre = times(turnBack(rotation, translation), -1);
  const [width, height] = size ?? [matrix[0][2] * 2, matrix[1][2] * 2];
  const corners = [[0, 0], [width, 0], [width, height], [0, height]].map(([u, v]) => {
    const ray = [(u - matrix[0][2]) / matrix[0][0], (v - matrix[1][2]) / matrix[1][1], 1];
    return add(centre, turnBack(rotation, times(ray, FRUSTUM_M)));
  });
  return { name, centre, corners, up: turnBack(rotation, [0, -1, 0]), ahead: turnBack(rotation, [0, 0, 1]) };
}
