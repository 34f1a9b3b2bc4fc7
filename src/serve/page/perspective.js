// The little geometry of the 3D view: vectors, and an eye that turns about a point and projects onto the canvas.

export const add = (a, b) => a.map((value, axis) => value + b[axis]);
export const subtract = (a, b) => a.map((value, axis) => value - b[axis]);
export const times = (a, factor) => a.map((value) => value * factor);
export const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
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

/** The point that is nearest to all lines of sight together; undefined if they are parallel. */
export function meeting(lines) {
  let rows = [[0, 0, 0], [0, 0, 0], [0, 0, 0]];
  let right = [0, 0, 0];
  for (const { centre, ahead } of lines) {
    const across = [0, 1, 2].map((i) => [0, 1, 2].map((j) => (i === j) - ahead[i] * ahead[j]));
    rows = rows.map((row, i) => add(row, across[i]));
    right = add(right, across.map((row) => dot(row, centre)));
  }
  // Cramer's rule; the matrix is symmetric.
  const whole = dot(rows[0], cross(rows[1], rows[2]));
  if (Math.abs(whole) < 1e-3) return undefined;
  return [0, 1, 2].map((axis) => {
    const [a, b, c] = rows.map((row, place) => (place === axis ? right : row));
    return dot(a, cross(b, c)) / whole;
  });
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

  /** Looks at the target from the side of `point`, and a little from aside. */
  standBeside(point) {
    const [first, second] = across(this.up);
    const from = subtract(point, this.target);
    this.azimuth = Math.atan2(dot(from, second), dot(from, first)) + 0.6;
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
