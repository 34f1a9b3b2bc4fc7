// A canvas in device pixels that draws in CSS pixels, and the hatching that means "unsure".

// More than two device pixels a CSS pixel cost much and show nothing.
export const density = () => Math.min(2, window.devicePixelRatio || 1);

/** Gives the canvas its size (only if it changed: that clears it) and a context in CSS pixels. */
export function fit(canvas, width, height) {
  const scale = density();
  const [w, h] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return context;
}

export const HATCH = 8;

/** A pattern of diagonal lines, `HATCH` pixels wide. */
export function hatching(context, colour) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = HATCH;
  const pen = tile.getContext("2d");
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  for (const shift of [-HATCH, 0, HATCH]) {
    pen.beginPath();
    pen.moveTo(shift - 1, HATCH + 1);
    pen.lineTo(shift + HATCH + 1, -1);
    pen.stroke();
  }
  return context.createPattern(tile, "repeat");
}
