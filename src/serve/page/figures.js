// What each figure is, said once: tooltips, the header and the help all take it from here.

/** [key in `times_ms`, what it is] in the order of the pipeline. */
export const TIMES = [
  ["decode", "Camera bytes to picture. Views run side by side: this is the slowest view's."],
  ["detect", "Searching the whole picture for faces, now and then; the slowest view's."],
  ["track", "Following the known faces, the slowest view's."],
  ["align", "Aligning the faces and judging their quality, the slowest view's."],
  ["encode", "The model: one batch for all faces of all views."],
  ["fuse", "Finding who is who among the views, fusing them, smoothing over time."],
  ["latency", "The pipeline's own time: from the set being complete to its result."],
  ["wait", "Waiting for the other cameras after the reference camera's frame has come."],
  ["age", "From the exposure of the reference frame to the result: how old what you see was when it was known."],
  ["skew", "How far the frames of one set are apart in time, first to last. In sync, it stays below one period of the cameras."],
];

/** [key in `dropped`, what it is] */
export const DROPS = [
  ["late", "Came after its set was closed."],
  ["corrupt", "Not readable as a picture."],
  ["stale", "Its set was overtaken by a newer one before it could be worked on."],
  ["ring_full", "The program did not take it in time."],
  ["record", "Not written to the recording; the disk was too slow."],
];

export const OTHER = [
  ["confidence", "Probability of the most probable expression, fused over the views and smoothed over time."],
  ["unsure", "No expression is probable enough, or the person is not seen just now. Hatched."],
  ["weight", "A view's share in the fusion; the shares of a person sum to 100 %."],
  ["quality", "0 to 1, from the detector's score, size, sharpness and yaw of the face in that view."],
  ["yaw", "Turn of the head in that view; positive: the nose points to the picture's right."],
];

/** What it is, by its name. */
export const MEANINGS = Object.fromEntries([...TIMES, ...DROPS, ...OTHER]);
