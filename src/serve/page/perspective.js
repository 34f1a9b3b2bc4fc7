// The little geometry of the 3D view: vectors, and an eye that turns about a point and projects onto the canvas.

export const add = (a, b) => a.map((value, axis) => value + b[axis]);
export const subtract = (a, b) => a.map((value, axis) => value - b[axis]);
export const times = (a, factor) => a.map((value) => value * factor);
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
export const length = (a) => Math.hypot(...a);
export const unit = (a) => times(a, 1 / (length(a) || 1));
export const mean = (list) => times(list.reduce(add, [0, 0, 0]), 1 / (list.length || 1));

/** The transpose of a rotation, applied: from the camera's axes to the world's. */
export const turnBack = (rotation, v) => [0, 1, 2].map((axis) => dot(rotation.map((row) => row[axis]), v));

/** A pair of unit vectors that span the plane across `up`. */
export function across(up) {
  const helper = Math.abs(up[0]) < 0.9 ? [1, 0, 0] : [0, 1, 0];
  const first = unit(cross(up, helper));
  return [first, cross(up, first)];
}

/** An eye that looks at `target` from `distance`, turned about `up`. Angles in radians. */
export class Eye {
  azimuth = 0.7;
  elevation = 0.45;
  distance = 3;
  target = [0, 0, 0];
  up = [0, 1, 0];

  turn(azimuth, elevation) {
    this.azimuth += azimuth;
    this.elevation = Math.min(1.5, Math.max(-1.5, this.elevation + elevation));
  }

  zoom(factor) {
    this.distance = Math.min(50, Math.max(0.2, this.distance * factor));
  }

  /** A function from a point in the world to `{x, y, size}` on a canvas, or null behind the eye; size: pixels a metre. */
  projection(width, height) {
    const [first, second] = across(this.up);
    const level = add(times(first, Math.cos(this.azimuth)), times(second, Math.sin(this.azimuth)));
    const towards = add(times(level, Math.cos(this.elevation)), times(this.up, Math.sin(this.elevation)));
    const eye = add(this.target, times(towards, this.distance));
    const ahead = times(towards, -1);
    const right = unit(cross(ahead, this.up));
    const top = cross(right, ahead);
    const focal = Math.min(width, height) * 1.1;
    return (point) => {
      const from = subtract(point, eye);
      const depth = dot(from, ahead);
      if (depth < 0.05) return null;
      return { x: width / 2 + (focal * dot(from, right)) / depth, y: height / 2 - (focal * dot(from, top)) / depth, size: focal / depth, depth };
    };
  }
}
