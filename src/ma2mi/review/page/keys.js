// Which key does what; every binding can be changed, saved to a file and read back.

import { askJson, post } from "./api.js";

const STORED = "ma2mi-review-keys";

/** Action: [what it does, its keys at first]. The order is that of the list on the page. */
export const ACTIONS = {
  forward: ["one frame on", [".", "ArrowRight"]],
  back: ["one frame back", [",", "ArrowLeft"]],
  forward5: ["five frames on", ["PageDown"]],
  back5: ["five frames back", ["PageUp"]],
  first: ["first frame", ["Home"]],
  last: ["last frame", ["End"]],
  play: ["play or stop", [" "]],
  faster: ["faster", [">"]],
  slower: ["slower", ["<"]],
  loop: ["loop within the event", ["l"]],
  blink: ["compare onset and apex by blinking", ["b"]],
  magnified: ["magnified movement", ["m"]],
  face: ["the face at full resolution", ["z"]],
  flow: ["movement as arrows", ["f"]],
  sound: ["sound on or off", ["s"]],
  next: ["next undecided", ["Tab"]],
  previous: ["previous undecided", ["Shift+Tab"]],
  nextAny: ["next event", ["ArrowDown"]],
  previousAny: ["previous event", ["ArrowUp"]],
  order: ["order: most doubtful first, or by time", ["o"]],
  below: ["with those below the threshold, or without", ["c"]],
  accept: ["accept", ["a"]],
  reject: ["reject", ["r"]],
  unsure: ["unsure", ["u"]],
  undecided: ["take the decision back", ["Backspace"]],
  onsetEarlier: ["onset one frame earlier", ["["]],
  onsetLater: ["onset one frame later", ["]"]],
  offsetEarlier: ["offset one frame earlier", [";"]],
  offsetLater: ["offset one frame later", ["'"]],
  apexEarlier: ["apex one frame earlier", ["{", "Shift+ArrowLeft"]],
  apexLater: ["apex one frame later", ["}", "Shift+ArrowRight"]],
  onsetHere: ["onset at the present frame", ["("]],
  apexHere: ["apex at the present frame", ["^"]],
  offsetHere: ["offset at the present frame", [")"]],
  kind: ["next kind of movement", ["k"]],
  ...Object.fromEntries(
    Array.from({ length: 9 }, (_, i) => [`class${i + 1}`, [`class ${i + 1}`, [`${i + 1}`]]]),
  ),
  units: ["to the action units", ["e"]],
  note: ["to the note", ["i"]],
  confidence: ["confidence, 1 to 5 in turn", ["g"]],
  add: ["add an event at the present frame", ["n"]],
  exclude: ["exclude a range: first its start, then its end", ["x"]],
  remove: ["remove an added event, or the range at the present frame", ["Delete"]],
  undo: ["undo", ["Ctrl+z"]],
  zoomIn: ["zoom in on the timeline", ["+", "="]],
  zoomOut: ["zoom out", ["-"]],
  zoomAll: ["the whole video", ["0"]],
  panel: ["focus to the event's buttons, Tab moves on from there", ["F6"]],
  help: ["list of keys", ["?"]],
};

/** "Ctrl+z", "Shift+Tab", "?": Shift counts only where it does not make another character. */
export function nameOf(event) {
  const printable = event.key.length === 1;
  const key = printable && event.ctrlKey ? event.key.toLowerCase() : event.key;
  const shift = event.shiftKey && !(printable && !event.ctrlKey);
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}` +
    `${shift ? "Shift+" : ""}${key}`;
}

export function shown(key) {
  return key === " " ? "Space" : key.replace("Arrow", "");
}

export class Keys {
  constructor() {
    this.changed = {};
  }

  async load() {
    try {
      const local = JSON.parse(localStorage.getItem(STORED) || "{}");
      this.#take({ ...local, ...(await askJson("/api/keys")) });
    } catch {
      this.#take({}); // what is stored is damaged: the keys are as at first
    }
  }

  of(action) {
    return this.changed[action] || ACTIONS[action][1];
  }

  actionOf(event) {
    const name = nameOf(event);
    return Object.keys(ACTIONS).find((action) => this.of(action).includes(name));
  }

  /** Binds a key; returns what had it before, or undefined. */
  async bind(action, key) {
    const owner = Object.keys(ACTIONS).find((one) => one !== action && this.of(one).includes(key));
    if (owner) this.changed[owner] = this.of(owner).filter((one) => one !== key);
    this.changed[action] = [key];
    await this.#keep();
    return owner;
  }

  async reset() {
    this.changed = {};
    await this.#keep();
  }

  exported() {
    return JSON.stringify(this.changed, null, 1);
  }

  async imported(text) {
    this.#take(JSON.parse(text));
    await this.#keep();
  }

  #take(tree) {
    const known = Object.entries(tree).filter(([name, keys]) =>
      name in ACTIONS && Array.isArray(keys) && keys.every((key) => typeof key === "string"));
    this.changed = Object.fromEntries(known);
  }

  async #keep() {
    localStorage.setItem(STORED, this.exported());
    await post("/api/keys", this.changed);
  }
}
