// The page of `vultus calibrate`: what each camera sees of the board, and what to do next.

const POLL_MS = 200;
const RETRY_MS = 1000;
// An answer that takes longer will not come.
const PATIENCE_MS = 8000;
// A camera whose picture does not change for so long is silent.
const SILENT_MS = 3000;
const GATHERED_MS = 500;
const FAILURE_MS = 6000;
const [COLUMNS, ROWS] = [8, 5];
// The same in both themes: they are drawn over pictures.
const [GOOD, WARN, DARK] = ["#4cc38a", "#f5b454", "rgb(0 0 0 / 0.7)"];
const TILTS = ["left", "right", "up", "down"];
const VERDICTS = { good: "✓ Good", usable: "≈ Usable", "calibrate again": "✗ Calibrate again" };
// All links are listed up to so many; of more, those with poses.
const FEW_LINKS = 6;

const byId = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const sentence = (text) => text && text[0].toUpperCase() + text.slice(1);
const figure = (value, unit) => (Number.isFinite(value) ? `${value.toFixed(2)}${unit}` : "–");
let mirrored = false;

function make(tag, className = "", text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

function set(node, key, value) {
  if (node[key] !== value) node[key] = value;
}

/** A share of 1 for the style sheet: a bar, an arrow that fills. */
function setShare(node, value, of) {
  node.style.setProperty("--share", Math.min(1, of > 0 ? value / of : 1));
}

// In a mirror the picture's left is to the right. Only places are meant, not names or what "is left".
const SIDE =
  /(?<=\b(?:the|to|its|upper|lower|middle|top|bottom) )(left|right)\b|\b(left|right)(?= (?:edge|side|half|corner))/g;
const seenFrom = (text) => (mirrored ? text.replace(SIDE, (side) => (side === "left" ? "right" : "left")) : text);

const said = new WeakMap();

/** Writes a text whose `names` stand in backticks, if it has changed. */
function say(node, text) {
  if (said.get(node) === text + mirrored) return;
  said.set(node, text + mirrored);
  const parts = text.split("`");
  const line = make("span");
  if (parts.length % 2) {
    line.append(...parts.map((part, place) => (place % 2 ? make("b", "name", part) : seenFrom(part))));
  } else {
    line.textContent = text;
  }
  node.replaceChildren(line);
}

class Tile {
  node = make("figure", "tile");
  #canvas = make("canvas");
  #image = new Image();
  #isLoading = false;
  /** The camera's state whose picture is shown, or loading. */
  #drawn = null;
  #gathered = Infinity;
  #place;
  #changed = performance.now();
  #name = make("span", "name");
  #apart = make("span", "apart", "not joined");
  #board = make("span", "board");
  #tilts = make("span", "tilts");
  #poses = make("span", "poses");
  #bar = make("i", "share");
  #advice = make("p", "advice");

  constructor(place) {
    this.#place = place;
    this.#canvas.setAttribute("role", "img");
    this.#tilts.setAttribute("role", "img");
    this.#tilts.append(...TILTS.map((side) => make("i", side)));
    const [head, figures] = [make("div", "line"), make("div", "line")];
    head.append(this.#name, this.#poses);
    figures.append(this.#board, this.#tilts, this.#apart);
    const caption = make("figcaption");
    caption.append(head, figures, this.#advice);
    this.node.append(this.#canvas, this.#bar, caption);
    this.#image.onload = () => {
      this.#isLoading = false;
      this.#draw();
    };
    this.#image.onerror = () => (this.#isLoading = false);
  }

  get aspect() {
    return this.#drawn?.size[1] > 0 ? this.#drawn.size[0] / this.#drawn.size[1] : 16 / 9;
  }

  show(camera, { wanted, isApart, isWatching }) {
    if (camera.poses > this.#gathered) this.#lightUp();
    this.#gathered = camera.poses;
    if (camera.picture !== this.#drawn?.picture) this.#load(camera);
    else if (!this.#isLoading) this.#draw();

    const isSeen = camera.corners.length > 0;
    const isSilent = isWatching && performance.now() - this.#changed > SILENT_MS;
    const isEnough = camera.poses >= wanted && !camera.next;
    const board = isSeen ? (camera.is_still ? "still" : "moving") : "unseen";
    set(this.node.dataset, "board", board);
    set(this.node.dataset, "enough", String(isEnough));
    set(this.#name, "textContent", camera.name);
    set(this.#name, "title", camera.name);
    set(this.#apart, "hidden", !isApart);
    set(this.#board, "textContent", { still: "● still", moving: "○ moving", unseen: "no board" }[board]);
    set(this.#poses, "textContent", `${camera.poses}/${wanted}`);
    set(this.#poses, "title", `${camera.poses} of ${wanted} poses held still`);
    setShare(this.#bar, camera.poses, wanted);
    set(this.#canvas, "ariaLabel", `Picture of ${camera.name}`);
    this.#showTilts(camera.tilts ?? []);
    const hint = (isSeen ? camera.next : (camera.why ?? camera.next)) ?? "";
    if (isSilent) say(this.#advice, "No pictures come from this camera");
    else say(this.#advice, isEnough ? "✓ It has seen enough" : sentence(hint));
  }

  // Poses to the picture's left fill the arrow that points there, in the mirror too.
  #showTilts(tilts) {
    set(this.#tilts, "hidden", !tilts.length);
    TILTS.forEach((_, place) => {
      const from = mirrored && place < 2 ? 1 - place : place;
      setShare(this.#tilts.children[place], tilts[from] ?? 0, 2);
    });
    const label = `Poses tilted ${TILTS.map((side, place) => `${side}: ${tilts[place]}`).join(", ")}`;
    set(this.#tilts, "ariaLabel", label);
    set(this.#tilts, "title", label);
  }

  #lightUp() {
    this.node.classList.add("gathered");
    setTimeout(() => this.node.classList.remove("gathered"), GATHERED_MS);
  }

  // The corners shown are those that came with the picture's number: they lie on what it shows.
  #load(camera) {
    if (this.#isLoading) return;
    this.#isLoading = true;
    this.#changed = performance.now();
    this.#drawn = camera;
    this.#image.src = `/camera/${this.#place}.jpg?${camera.picture}`;
  }

  #draw() {
    const wide = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    const [width, height] = [wide, Math.round(wide / this.aspect)];
    if (!wide || !this.#image.naturalWidth) return;
    if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, { width, height });
    const pen = this.#canvas.getContext("2d", { alpha: false });
    pen.drawImage(this.#image, 0, 0, width, height);
    drawCoverage(pen, this.#drawn.coverage ?? [], width, height);
    const scale = width / this.#drawn.size[0];
    const corners = this.#drawn.corners.map(([x, y]) => [(x + 0.5) * scale, (y + 0.5) * scale]);
    if (corners.length) drawCorners(pen, corners, this.#drawn.is_still, width / 640);
  }
}

/** Where the board has been: a tint and as many dots as poses, up to three; an outline where it has not. */
function drawCoverage(pen, coverage, width, height) {
  const [w, h] = [width / COLUMNS, height / ROWS];
  const dot = width / 200;
  coverage.forEach((poses, place) => {
    const [x, y] = [(place % COLUMNS) * w, Math.floor(place / COLUMNS) * h];
    const shown = Math.min(poses, 3);
    pen.strokeStyle = poses ? "rgb(0 0 0 / 0.25)" : "rgb(255 255 255 / 0.55)";
    pen.lineWidth = Math.max(1, width / 640);
    pen.strokeRect(x + 1.5, y + 1.5, w - 3, h - 3);
    pen.fillStyle = `rgb(60 220 130 / ${0.06 + 0.07 * shown})`;
    if (poses) pen.fillRect(x + 1, y + 1, w - 2, h - 2);
    for (let each = 0; each < shown; each++)
      drawDot(pen, x + w / 2 + (each - (shown - 1) / 2) * 4 * dot, y + h / 2, dot);
  });
}

function drawDot(pen, x, y, radius, colour = "#fff") {
  pen.beginPath();
  pen.arc(x, y, radius, 0, Math.PI * 2);
  pen.fillStyle = colour;
  pen.strokeStyle = DARK;
  pen.lineWidth = radius / 2;
  pen.stroke();
  pen.fill();
}

/** The board's corners, joined row by row when it is still. */
function drawCorners(pen, corners, isStill, unit) {
  const colour = isStill ? GOOD : WARN;
  pen.lineJoin = "round";
  pen.beginPath();
  if (isStill) corners.forEach(([x, y]) => pen.lineTo(x, y));
  for (const [style, line] of [
    [DARK, 6],
    [colour, 3],
  ]) {
    pen.strokeStyle = style;
    pen.lineWidth = line * unit;
    pen.stroke();
  }
  for (const [x, y] of corners) drawDot(pen, x, y, 5 * unit, colour);
}

let tiles = [];
let state = null;
/** Why the last button did nothing. */
let failure = "";

/** Makes the tiles as large as lets all of them be seen at once, and their texts as large as there is room for. */
function arrange() {
  const box = byId("tiles");
  const across = box.clientWidth;
  if (!tiles.length || !across) return;
  const GAP = 10;
  // Below a picture stand so many lines, of at least so many pixels or such a share of its width.
  const [LINES, SMALL, SHARE] = [5.6, 16, 0.045];
  const room = document.documentElement.clientHeight - box.offsetTop - byId("links").offsetHeight - 20;
  const aspect = Math.min(...tiles.map((tile) => tile.aspect));
  const choices = tiles.map((_, before) => {
    const [columns, rows] = [before + 1, Math.ceil(tiles.length / (before + 1))];
    const [most, high] = [(across - GAP * before) / columns, (room - GAP * (rows - 1)) / rows];
    // What is too small to be seen is no use: then the page has to be scrolled.
    const fits = Math.min((high - SMALL * LINES) * aspect, (high * aspect) / (1 + aspect * LINES * SHARE));
    const wide = Math.floor(Math.min(most, Math.max(250, fits)));
    return { columns, rows, wide, type: Math.max(SMALL, Math.min(30, wide * 0.07, (high - wide / aspect) / LINES)) };
  });
  const isBetter = (a, b) => a.wide > b.wide || (a.wide === b.wide && a.rows < b.rows);
  let best = choices.reduce((best, each) => (isBetter(each, best) ? each : best));
  if (across < 600) best = choices[tiles.length > 3 ? 1 : 0];
  box.style.setProperty("--columns", best.columns);
  box.style.setProperty("--wide", `${best.wide}px`);
  box.style.setProperty("--type", `${best.type}px`);
}

/** Which cameras share too few poses with the others: those outside the largest group that links join. */
function apart({ cameras, links, shared_wanted }) {
  if (!links.length) return new Set();
  const group = cameras.map((_, place) => place);
  for (const { a, b, poses } of links) {
    if (poses < shared_wanted) continue;
    const [from, to] = [group[a], group[b]];
    group.forEach((of, place) => of === from && (group[place] = to));
  }
  const sizes = group.map((of) => group.filter((other) => other === of).length);
  const largest = Math.max(...sizes);
  const main = largest > 1 ? group[sizes.indexOf(largest)] : null;
  return new Set([...cameras.keys()].filter((place) => group[place] !== main));
}

function showLinks({ cameras, links, shared_wanted }, lacking) {
  set(byId("links"), "hidden", !links.length);
  const title = byId("joined");
  set(title.dataset, "joined", String(!lacking.size));
  const names = [...lacking].map((place) => `\`${cameras[place].name}\``).join(", ");
  if (!lacking.size) say(title, "✓ The cameras have seen the board together");
  else if (lacking.size < cameras.length) say(title, `Too seldom seen together with the others: ${names}`);
  else say(title, "Seen together by two cameras");
  const listed = links.filter(({ poses }) => poses > 0 || links.length <= FEW_LINKS);
  const list = byId("pairs");
  while (list.children.length < listed.length) list.append(make("li"));
  while (list.children.length > listed.length) list.lastChild.remove();
  listed.forEach(({ a, b, poses }, place) => {
    const item = list.children[place];
    const isEnough = poses >= shared_wanted;
    const count = isEnough ? `✓ ${poses}` : `${poses} of ${shared_wanted}`;
    say(item, `\`${cameras[a].name}\` – \`${cameras[b].name}\` ${count}`);
    set(item.dataset, "enough", String(isEnough));
    setShare(item, poses, shared_wanted);
  });
}

/** What is still to be seen, for the button's title. */
function missing({ cameras, poses_wanted }, lacking) {
  const few = cameras.filter(({ poses }) => poses < poses_wanted);
  const texts = few.map(({ name, poses }) => `${name} ${poses_wanted - poses} poses more`);
  if (lacking.size) texts.push(`${lacking.size} cameras to join with the others`);
  return texts.length ? `Better wait, still missing: ${texts.join(", ")}` : "Better wait for what the page asks for";
}

function showResult({ result, task }) {
  set(byId("result"), "hidden", !result);
  if (!result) return;
  const { verdict, file, was_written: wasWritten } = result;
  const isBad = verdict === "calibrate again";
  byId("result").dataset.verdict = verdict;
  set(byId("verdict"), "textContent", VERDICTS[verdict] ?? verdict);
  const kept = task === "check" ? "checked, and left as it was" : "left as it was";
  say(byId("file"), file ? `\`${file}\` ${wasWritten ? "was written" : `was ${kept}`}.` : "No file was written.");
  set(byId("command"), "hidden", !wasWritten || !file || isBad);
  const quoted = /^[\w./~-]+$/.test(file ?? "") ? file : `'${file?.replaceAll("'", "'\\''")}'`;
  set(byId("command").firstChild, "textContent", `vultus live --rig ${quoted}`);

  const figures = [
    ["error on poses kept aside", figure(result.held_out_error_px, " px")],
    ["error of the scale", figure(result.scale_error_percent, " %")],
    ["poses", result.poses],
  ];
  const pairs = figures.map(([label, value]) => {
    const pair = make("div");
    pair.append(make("dt", "", label), make("dd", "", value));
    return pair;
  });
  byId("figures").replaceChildren(...pairs);
  const rows = result.cameras.map(({ name, error_px }) => {
    const row = make("tr");
    row.append(make("th", "", name), make("td", "", figure(error_px, " px")));
    return row;
  });
  byId("errors").replaceChildren(...rows);
  const list = byId("outliers").querySelector("ul");
  const outliers = result.left_out.map((text) => {
    const item = make("li");
    say(item, sentence(text));
    return item;
  });
  list.replaceChildren(...outliers);
  set(byId("outliers"), "hidden", !outliers.length);
}

function show() {
  const { phase, cameras, task } = state;
  set(document.body.dataset, "phase", phase);
  const isDone = phase === "done";
  say(byId("next"), state.next || (phase === "calibrating" ? "Calibrating…" : "Hold the board before the cameras"));
  set(byId("board"), "textContent", state.board);
  const problem = failure || (isDone ? "" : (state.problem ?? ""));
  set(byId("problem"), "hidden", !problem);
  say(byId("problem"), sentence(problem));

  const lacking = apart(state);
  const finish = byId("finish");
  set(finish, "textContent", task === "check" ? "Check" : "Calibrate");
  set(finish, "disabled", phase !== "watching");
  set(finish, "hidden", isDone);
  finish.classList.toggle("primary", state.is_ready);
  set(finish, "title", state.is_ready ? "Enough has been seen" : missing(state, lacking));
  set(byId("forget"), "disabled", phase === "calibrating");

  if (tiles.length !== cameras.length) {
    tiles = cameras.map((_, place) => new Tile(place));
    byId("tiles").replaceChildren(...tiles.map(({ node }) => node));
  }
  set(byId("tiles"), "hidden", isDone);
  showLinks(state, lacking);
  if (isDone) set(byId("links"), "hidden", true);
  showResult(state);
  arrange();
  const shared = { wanted: state.poses_wanted, isWatching: phase === "watching" };
  cameras.forEach((camera, place) => tiles[place].show(camera, { ...shared, isApart: lacking.has(place) }));
}

function lost() {
  document.body.dataset.connection = "lost";
  for (const button of document.querySelectorAll("header button")) button.disabled = true;
  // A result stays.
  if (state?.phase === "done") set(byId("board"), "textContent", "The program has ended; this page may be closed.");
  else say(byId("next"), "The program has ended: start it again to go on");
}

async function call(path) {
  try {
    const response = await fetch(path, { method: "POST", signal: AbortSignal.timeout(PATIENCE_MS) });
    failure = response.ok ? "" : `That did not work: vultus answered ${response.status}`;
  } catch (error) {
    failure = `That did not work: ${error.message}`;
  }
  setTimeout(() => (failure = ""), FAILURE_MS);
}

const mirror = byId("mirror");
function reflect() {
  mirrored = mirror.checked;
  document.body.dataset.mirror = mirrored;
}
try {
  mirror.checked = localStorage.getItem("vultus.mirror") === "true";
} catch {
  // A browser that keeps nothing only forgets.
}
mirror.addEventListener("change", () => {
  reflect();
  try {
    localStorage.setItem("vultus.mirror", mirror.checked);
  } catch {
    // Asked again the next time.
  }
});
reflect();
byId("finish").addEventListener("click", () => call("/api/finish"));
byId("forget").addEventListener("click", () => byId("sure").showModal());
byId("keep").addEventListener("click", () => byId("sure").close());
byId("forget-all").addEventListener("click", () => {
  byId("sure").close();
  call("/api/forget");
});
addEventListener("resize", arrange);

for (;;) {
  let answer = null;
  try {
    const response = await fetch("/api/state", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (response.ok) answer = await response.json();
  } catch {
    // Said below.
  }
  if (answer) {
    state = answer;
    document.body.dataset.connection = "open";
    show();
  } else {
    lost();
  }
  await sleep(answer ? POLL_MS : RETRY_MS);
}
