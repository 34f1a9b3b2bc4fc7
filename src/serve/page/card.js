// One person: the fused expression, the seven probabilities, and which view said what with which weight.

import { best, CLASSES, classOf, personColour } from "./classes.js";
import { make, setChildren, setData, setStyle, setText, setTitle } from "./dom.js";
import { degrees, number, percent } from "./format.js";
import { MEANINGS } from "./figures.js";

export class Card {
  #name = make("button", "badge");
  #expression = make("strong", "expression");
  #confidence = make("span", "confidence");
  #gone = make("span", "gone-note", "not in this set");
  #shares = make("div", "shares");
  #classes = CLASSES.map(classRow);
  #body = make("tbody");
  #views = new Map();
  lastSeen = -Infinity;

  constructor(person, select) {
    this.person = person;
    this.node = make("article", "person");
    this.node.dataset.person = person;
    this.node.setAttribute("aria-label", `Person ${person}`);

    this.#name.type = "button";
    this.#name.title = "Show this person in all views (P: the next)";
    this.#name.style.backgroundColor = personColour(person);
    this.#name.append(make("span", "unseen", "Person "), make("span", "", String(person)));
    this.#name.addEventListener("click", () => select(person));

    const head = make("header");
    head.append(this.#name, this.#expression, this.#confidence, this.#gone);
    const list = make("ul", "classes");
    list.append(...this.#classes.map((row) => row.node));
    const table = make("table", "sources");
    table.append(sourceHead(), this.#body);
    this.node.append(head, list, this.#shares, table);
  }

  show(record, selected) {
    const expression = record.expression ?? "unsure";
    const { probabilities } = record;
    setData(this.node, "expression", expression);
    setText(this.#expression, expression);
    setText(this.#confidence, percent(record.confidence));
    for (const row of this.#classes) {
      const probability = probabilities?.[row.name];
      setStyle(row.bar, "transform", `scaleX(${number(probability || 0, 3)})`);
      setText(row.value, percent(probability));
      row.node.classList.toggle("top", row.name === expression);
    }
    this.#showViews(record.views ?? []);
    this.mark(selected);
  }

  mark(selected) {
    const chosen = selected === this.person;
    this.node.classList.toggle("selected", chosen);
    this.#name.setAttribute("aria-pressed", String(chosen));
  }

  #showViews(views) {
    for (const view of views) if (!this.#views.has(view.camera)) this.#views.set(view.camera, new Source(view.camera));
    const sources = views.map((view) => this.#views.get(view.camera));
    setChildren(this.#body, sources.map((source) => source.row));
    setChildren(this.#shares, sources.map((source) => source.share));
    views.forEach((view, place) => sources[place].show(view));
  }
}

/** A view as the source of an expression: its row in the table, and its part of the bar of weights. */
class Source {
  row = make("tr");
  share = make("span", "share");
  #swatch = make("i", "swatch");
  #says = make("span", "says");
  #cells = ["probability", "yaw", "quality", "weight"].map((name) => make("td", name));

  constructor(camera) {
    this.camera = camera;
    const name = make("th", "", camera);
    name.scope = "row";
    const says = make("td");
    says.append(this.#swatch, this.#says);
    this.row.append(name, says, ...this.#cells);
  }

  show(view) {
    const says = best(view.probabilities);
    setText(this.#says, says.name);
    setStyle(this.#swatch, "background-color", classOf(says.name).colour);
    const [probability, yaw, quality, weight] = this.#cells;
    setText(probability, percent(says.probability));
    setText(yaw, degrees(view.yaw_deg));
    setText(quality, number(view.quality, 2));
    setText(weight, percent(view.weight));
    const share = number(Math.max(0, view.weight || 0), 3);
    setStyle(this.row, "--weight", share);
    setStyle(this.share, "flex-grow", share);
    setText(this.share, this.camera);
    setTitle(this.share, `${this.camera}: ${percent(view.weight)} of the weight`);
  }
}

function classRow({ name, colour }) {
  const node = make("li");
  const bar = make("i", "fill");
  const value = make("span", "value");
  const track = make("span", "track");
  bar.style.backgroundColor = colour;
  track.append(bar);
  node.append(make("span", "class-name", name), track, value);
  return { name, node, bar, value };
}

function sourceHead() {
  const head = make("thead");
  const row = make("tr");
  for (const [text, key] of [["view"], ["says"], ["p"], ["yaw", "yaw"], ["quality", "quality"], ["weight", "weight"]]) {
    const cell = make("th", "", text);
    cell.scope = "col";
    if (key) cell.title = MEANINGS[key];
    row.append(cell);
  }
  head.append(row);
  return head;
}
