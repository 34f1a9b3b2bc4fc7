// The live page. Messages come in here; each is kept (trace, player), drawn once, and acknowledged when it is drawn.

import { takeToken } from "./access.js";
import { showConnection } from "./banner.js";
import { Connection } from "./connection.js";
import { accepted, openHelp, setUpDialogs } from "./dialogs.js";
import { byId, setAria, setText } from "./dom.js";
import { Health } from "./health.js";
import { setUpKeys } from "./keys.js";
import { Mosaic } from "./mosaic.js";
import { People } from "./people.js";
import { Player } from "./player.js";
import { Recording } from "./recording.js";
import { Space } from "./space.js";
import { Status } from "./status.js";
import { onThemeChange, toggleTheme } from "./theme.js";
import { Timeline } from "./timeline.js";
import { Trace } from "./trace.js";

const trace = new Trace(forget);
const player = new Player(() => connection.step());
const people = new People(select);
const mosaic = new Mosaic(() => drawShown(), select);
const timeline = new Timeline(trace, goTo);
const space = new Space();
const status = new Status();
const health = new Health();
const recording = new Recording();
const connection = new Connection(receive, connectionChanged, () => accepted() && !player.paused && !document.hidden);

let run = null;
let selected = null;

async function receive(message) {
  if (message.state) showState(message.state);
  // Nobody is shown before the notice is read.
  if (!accepted()) return;
  trace.add(message.records ?? [], message.missed);
  if (message.pictures) {
    status.countPictures();
    const { set, views } = message.pictures;
    const pictured = { set, instant: trace.find(set), views, heads: (message.heads ?? []).filter((head) => head?.set === set) };
    if (player.arrive(pictured) && !document.hidden) await drawShown();
  }
  if (document.hidden || !accepted()) return;
  if (!player.paused) people.tick(trace.newest);
  timeline.tick();
}

function connectionChanged(change) {
  showConnection(change);
  if (change.state === "open") trace.interrupt();
  recording.connection(change);
}

function showState(state) {
  if (run !== null && state.run !== run) forget();
  run = state.run ?? null;
  recording.show(state.recording);
  if (document.hidden) return;
  status.show(state);
  mosaic.cameras(state.cameras ?? []);
  health.show(state);
  space.rig(state.rig);
}

// Another run: its sets, people and time are not those of the one before, and nothing of it is paused.
function forget() {
  trace.clear();
  player.clear();
  people.clear();
  mosaic.clear();
  space.show([], null);
  setText(byId("shown"), "");
  if (player.paused) pause(false);
  timeline.clear();
  select(null);
}

/** Draws the shown set: pictures, and what was found in exactly them. */
async function drawShown() {
  const pictured = player.shown;
  if (!pictured) return;
  const decoded = new Map();
  await Promise.all(pictured.views.map(async (view) => {
    const picture = await createImageBitmap(view.jpeg).catch(() => null);
    if (picture) decoded.set(view.camera, picture);
  }));
  await nextFrame();
  // Meanwhile another set may have become the one to show.
  if (pictured === player.shown) drawNow(pictured, decoded);
  for (const picture of decoded.values()) picture.close();
}

function drawNow(pictured, decoded) {
  mosaic.draw(pictured, decoded, selected);
  space.show(pictured.heads, pictured.instant);
  if (player.paused) people.show(pictured.instant);
  if (player.paused && pictured.instant) timeline.freeze(pictured.instant.at);
  tellShown(pictured, mosaic.size);
}

// A hidden page gets no animation frames; it must not wait for one.
function nextFrame() {
  return new Promise((resolve) => {
    const late = setTimeout(resolve, 200);
    requestAnimationFrame(() => (clearTimeout(late), resolve()));
  });
}

function tellShown({ set, views }, cameras) {
  const { behind, kept } = player.place;
  const where = player.paused ? ` · paused, ${behind ? `${behind} of ${kept - 1} back` : "newest"}` : "";
  setText(byId("shown"), `set ${set} · ${views.length} of ${cameras} views${where}`);
}

function pause(paused) {
  player.pause(paused);
  setAria(byId("pause"), "label", paused ? "Go on" : "Pause");
  if (!paused) timeline.freeze(null);
  connection.update();
  // What stands still is said to stand still when it does: a set may just be on its way to the screen.
  return drawShown().finally(() => document.body.toggleAttribute("data-paused", player.paused));
}

function step(move) {
  if (!player.paused) pause(true);
  move();
  drawShown();
}

function goTo(at) {
  if (!player.paused) pause(true);
  if (player.goTo(at)) drawShown();
}

function select(person) {
  selected = person === selected ? null : person;
  people.mark(selected);
  mosaic.mark(selected);
  timeline.mark(selected);
  space.mark(selected);
}

function selectNext() {
  const { ids } = people;
  select(ids[ids.indexOf(selected) + 1] ?? null);
}

const stepBack = () => step(() => player.back());
const stepForward = () => step(() => player.forward());
const togglePause = () => pause(!player.paused);

byId("pause").addEventListener("click", togglePause);
byId("step-back").addEventListener("click", stepBack);
byId("step-forward").addEventListener("click", stepForward);
byId("theme").addEventListener("click", toggleTheme);
byId("banner-action").addEventListener("click", () => connection.open());
document.addEventListener("visibilitychange", () => {
  connection.update();
  if (!document.hidden) drawShown();
});
addEventListener("hashchange", () => takeToken() && connection.open());
onThemeChange(() => {
  timeline.repaint();
  space.repaint();
});

setUpKeys({
  " ": togglePause,
  ArrowLeft: stepBack,
  ArrowRight: stepForward,
  Escape: () => {
    mosaic.shrink();
    select(null);
  },
  digit: (place) => mosaic.enlargeNth(place),
  r: () => recording.toggle(),
  t: toggleTheme,
  p: selectNext,
  "?": openHelp,
});
setUpDialogs(() => connection.update());
takeToken();
connection.open();
