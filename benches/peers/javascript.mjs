// The packages `@vladmandic/human` and `@vladmandic/face-api` (npm) with the weights that come with them, on wasm.
//
//     node benches/peers/javascript.mjs human|face-api TAKE [RESULTS]
//
// Sets and results are as in take.py.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";

const require = createRequire(import.meta.url);
// Models lie on disk, and Node.js fetches no files.
const fetchElsewhere = globalThis.fetch;
globalThis.fetch = (url, ...more) =>
  String(url).startsWith("file:")
    ? Promise.resolve(new Response(readFileSync(fileURLToPath(url))))
    : fetchElsewhere(url, ...more);

const CLASSES = ["angry", "disgusted", "afraid", "happy", "sad", "surprised", "neutral"];
const NAMES = {
  angry: "angry",
  disgust: "disgusted",
  disgusted: "disgusted",
  fear: "afraid",
  fearful: "afraid",
  happy: "happy",
  sad: "sad",
  surprise: "surprised",
  surprised: "surprised",
  neutral: "neutral",
};

/** Of every set the frame of each camera. */
function sets(take) {
  const cameras = JSON.parse(readFileSync(join(take, "rig.json"))).cameras.map((camera) => camera.name);
  const rows = cameras.map((camera) => {
    const [header, ...lines] = readFileSync(join(take, camera, "timestamps.csv"), "utf8")
      .trim()
      .split("\n");
    const names = header.split(",");
    return lines.map((line) => Object.fromEntries(line.split(",").map((value, n) => [names[n], Number(value)])));
  });
  const nearest = (of, at) =>
    of.reduce((best, row) => (Math.abs(row.captured_ns - at) < Math.abs(best.captured_ns - at) ? row : best));
  return rows[0].map((reference) =>
    cameras.map((camera, n) => {
      const { seq } = nearest(rows[n], reference.captured_ns);
      return { camera, seq, file: join(take, camera, `${String(seq).padStart(6, "0")}.jpg`) };
    }),
  );
}

/** Every class by our names; those that were not said are 0. */
function probabilities(said) {
  const named = Object.fromEntries(CLASSES.map((name) => [name, 0]));
  for (const [name, p] of said) named[NAMES[name]] = p;
  return named;
}

async function pixels(file) {
  const { data, info } = await sharp(file).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return { data, shape: [info.height, info.width, 3] };
}

async function human(tf, wasmPaths) {
  // The package's own names do not lead to its build for wasm.
  const folder = join(
    require.resolve.paths("@vladmandic/human").find((path) => existsSync(join(path, "@vladmandic/human"))),
    "@vladmandic/human",
  );
  const { Human } = require(join(folder, "dist/human.node-wasm.js"));
  const models = `file://${join(folder, "models")}/`;
  const off = { enabled: false };
  const detector = new Human({
    backend: "wasm",
    wasmPath: wasmPaths,
    modelBasePath: models,
    debug: false,
    cacheSensitivity: 0,
    filter: off,
    face: {
      enabled: true,
      detector: { rotation: false },
      mesh: off,
      iris: off,
      description: off,
      antispoof: off,
      liveness: off,
      emotion: { enabled: true, minConfidence: 0 },
    },
    body: off,
    hand: off,
    object: off,
    gesture: off,
    segmentation: off,
  });
  await detector.load();
  return async (file) => {
    const { data, shape } = await pixels(file);
    const tensor = detector.tf.tensor(data, shape, "float32").expandDims(0);
    const { face: faces } = await detector.detect(tensor);
    detector.tf.dispose(tensor);
    const best = faces.filter((face) => face.emotion?.length).sort((a, b) => b.boxScore - a.boxScore)[0];
    return (
      best && {
        box: best.box,
        probabilities: probabilities(best.emotion.map(({ emotion, score }) => [emotion, score])),
      }
    );
  };
}

async function faceApi(tf, wasmPaths) {
  const wasm = require("@tensorflow/tfjs-backend-wasm");
  wasm.setWasmPaths(wasmPaths);
  await tf.setBackend("wasm");
  await tf.ready();
  const api = require("@vladmandic/face-api/dist/face-api.node-wasm.js");
  const models = join(dirname(require.resolve("@vladmandic/face-api/package.json")), "model");
  await api.nets.tinyFaceDetector.loadFromDisk(models);
  await api.nets.faceExpressionNet.loadFromDisk(models);
  const options = new api.TinyFaceDetectorOptions({ inputSize: 320 });
  return async (file) => {
    const { data, shape } = await pixels(file);
    const tensor = tf.tensor3d(data, shape, "int32");
    const best = await api.detectSingleFace(tensor, options).withFaceExpressions();
    tf.dispose(tensor);
    if (!best) return null;
    const { x, y, width, height } = best.detection.box;
    return { box: [x, y, width, height], probabilities: probabilities(Object.entries(best.expressions)) };
  };
}

const [, , which, take, results] = process.argv;
const tf = require("@tensorflow/tfjs");
const wasmPaths = `${dirname(require.resolve("@tensorflow/tfjs-backend-wasm/package.json"))}/dist/`;
const read = await (which === "human" ? human : faceApi)(tf, wasmPaths);
const everything = sets(take);
await read(everything[0][0].file);
const lines = [];
let frames = 0;
const began = performance.now();
const before = process.cpuUsage();
for (const [set, ofSet] of everything.entries()) {
  const views = [];
  for (const { camera, seq, file } of ofSet) {
    frames += 1;
    const face = await read(file);
    if (face) views.push({ camera, seq, ...face });
  }
  const logarithm = (name) => views.reduce((sum, view) => sum + Math.log(Math.max(view.probabilities[name], 1e-6)), 0);
  const expression = views.length
    ? CLASSES.reduce((best, name) => (logarithm(name) > logarithm(best) ? name : best))
    : null;
  lines.push(
    JSON.stringify({
      set,
      frames: Object.fromEntries(ofSet.map(({ camera, seq }) => [camera, seq])),
      person: views.length ? 1 : null,
      expression,
      views,
    }),
  );
}
const used = process.cpuUsage(before);
const seconds = (performance.now() - began) / 1e3;
if (results) writeFileSync(results, `${lines.join("\n")}\n`);
console.log(JSON.stringify({ frames, sets: everything.length, seconds, cpu_s: (used.user + used.system) / 1e6 }));
process.exit(0);
