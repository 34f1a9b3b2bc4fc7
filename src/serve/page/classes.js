// The seven expressions, in the order that holds everywhere, each with its one colour (Okabe and Ito's palette, which
// people with colour-blindness can tell apart) and the ink that is readable on it. And the colours of people.

export const CLASSES = [
  { name: "angry", colour: "#d55e00", ink: "#000000" },
  { name: "disgusted", colour: "#009e73", ink: "#000000" },
  { name: "afraid", colour: "#cc79a7", ink: "#000000" },
  { name: "happy", colour: "#e69f00", ink: "#000000" },
  { name: "sad", colour: "#0072b2", ink: "#ffffff" },
  { name: "surprised", colour: "#56b4e9", ink: "#000000" },
  { name: "neutral", colour: "#999999", ink: "#000000" },
];

const byName = new Map(CLASSES.map((each) => [each.name, each]));
const UNSURE = { name: "unsure", colour: "#6b7480", ink: "#ffffff" };

/** The class of that name; anything else (unsure, or one that this page does not know) is grey. */
export const classOf = (name) => byName.get(name) ?? UNSURE;

/** The most probable class of a set of probabilities: its name and its probability. */
export function best(probabilities) {
  let top = { name: "unsure", probability: NaN };
  for (const { name } of CLASSES) {
    const probability = probabilities?.[name];
    if (Number.isFinite(probability) && !(probability <= top.probability)) top = { name, probability };
  }
  return top;
}

// Light, so that dark numerals are readable on them, and none of them a class's colour.
const PEOPLE = ["#c8f169", "#ffb3d1", "#7df0e2", "#ffd2a8", "#cfc3ff", "#fff3a3", "#b5e3ff", "#ffffff"];

/** A person's colour: the same for the same id, always. */
export const personColour = (id) => PEOPLE[(((Number(id) || 0) - 1) % PEOPLE.length + PEOPLE.length) % PEOPLE.length];
