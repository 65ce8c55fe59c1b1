// The present event beside the video: what was found, what the recognizer says, what is decided.

import { parseUnit, unitCode } from "./decisions.js";

const NOTE_MS = 1000; // after the last letter of a note it is saved
const SHOWN_UNITS = 5; // bars of action units, the likeliest
const CONFIDENCE = ["", "1 low", "2", "3", "4", "5 certain"];
const ENDS = [
  ["onset", "onsetEarlier", "onsetLater", "onsetHere"],
  ["apex", "apexEarlier", "apexLater", "apexHere"],
  ["offset", "offsetEarlier", "offsetLater", "offsetHere"],
];

/** make("p", {class: "quiet", text: "..."}, child, ...): elements without HTML in strings. */
export function make(name, options = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key === "text") element.textContent = value;
    else if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(key, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export class Panel {
  constructor(root, hooks) {
    this.root = root;
    this.hooks = hooks; // act(name), change(changes, target), key(name), seconds(frame)
  }

  show(video, item) {
    const focused = this.#focused();
    const typed = item?.target === this.target && this.#typed();
    this.target = item?.target;
    if (!item) {
      const text = video.events.length || video.candidates.length
        ? "No event is chosen. Tab goes to the next undecided one, N adds one at the present frame."
        : "Nothing is marked yet. N adds an event at the present frame.";
      this.root.replaceChildren(make("p", { class: "quiet", text }));
      return;
    }
    this.root.replaceChildren(
      ...this.#head(item),
      this.#verdicts(item),
      this.#ends(item),
      ...this.#classes(video, item),
      ...this.#units(video, item),
      ...this.#note(item),
      ...this.#reading(video, item),
    );
    const field = focused ? this.root.querySelector(`[data-field="${focused}"]`) : null;
    if (field && typed) {
      field.value = typed.value;
      field.setSelectionRange(typed.start, typed.end);
    }
    field?.focus();
  }

  /** What is being written, so that a decision in another tab does not take it away. */
  #typed() {
    const { activeElement: field } = document;
    if (!this.root.contains(field) || !["TEXTAREA", "INPUT"].includes(field.tagName)) return null;
    if (field.dataset.done) return null;
    return { value: field.value, start: field.selectionStart, end: field.selectionEnd };
  }

  /** What has the focus, so that it keeps it when the panel is drawn anew. */
  #focused() {
    return this.root.contains(document.activeElement) && document.activeElement.dataset.field;
  }

  #head(item) {
    const length = this.hooks.seconds(item.offset) - this.hooks.seconds(item.onset);
    const where = item.regions.length ? `, ${item.regions.join(", ")}` : "";
    const title = item.added ? `Added event ${item.name}` : item.reason
      ? `Candidate ${item.name}` : `Event ${item.name}`;
    const lines = [make("h2", { text: `${title}: ${item.kind}` })];
    lines.push(make("p", { class: "quiet", text: `${Math.round(1000 * length)} ms${where}` }));
    if (item.found) {
      const text = `score ${item.score.toFixed(2)}, ${item.multiple.toFixed(1)} times the noise floor`;
      lines.push(make("p", { class: "quiet", text }));
    }
    if (item.reason) {
      lines.push(make("p", { text: `Below the threshold: ${item.reason}.` }));
    }
    if (item.flags.length) lines.push(make("p", { text: `Flags: ${item.flags.join("; ")}.` }));
    return lines;
  }

  #button(text, name, options = {}) {
    return make("button", {
      type: "button", "data-field": name, onclick: () => this.hooks.act(name), ...options,
    }, text, ...(options.bare ? [] : [" ", make("kbd", { text: this.hooks.key(name) })]));
  }

  #verdicts(item) {
    return make("div", { class: "verdicts", role: "group", "aria-label": "Decision" },
      ...["accept", "reject", "unsure"].map((verdict) =>
        this.#button(verdict[0].toUpperCase() + verdict.slice(1), verdict, {
          "data-verdict": verdict, "aria-pressed": String(item.verdict === verdict),
        })));
  }

  #ends(item) {
    const rows = ENDS.flatMap(([end, earlier, later, here]) => [
      make("span", { text: end }),
      make("span", { text: `${item[end]} · ${this.hooks.seconds(item[end]).toFixed(3)} s` }),
      make("span", { class: "buttons" },
        this.#button("‹", earlier, { bare: true, "aria-label": `${end} one frame earlier`,
          title: `one frame earlier (${this.hooks.key(earlier)})` }),
        this.#button("›", later, { bare: true, "aria-label": `${end} one frame later`,
          title: `one frame later (${this.hooks.key(later)})` }),
        this.#button("here", here, { bare: true, "aria-label": `${end} at the present frame`,
          title: `at the present frame (${this.hooks.key(here)})` })),
    ]);
    return make("div", { class: "ends" }, ...rows);
  }

  #classes(video, item) {
    const kinds = make("select", { "data-field": "kind", "aria-label": "Kind of movement",
      onchange: (event) => this.hooks.change({ event_kind: event.target.value }) },
    ...video.kinds.map((kind) => make("option", { text: kind, selected: kind === item.kind })));
    const classes = video.classes.slice(0, 9).map((name, index) =>
      make("button", {
        type: "button", "data-field": `class${index + 1}`,
        "aria-pressed": String(item.label === name),
        onclick: () => this.hooks.act(`class${index + 1}`),
      }, make("kbd", { text: this.hooks.key(`class${index + 1}`) }), name));
    return [
      make("h3", { text: "Kind and class" }),
      make("div", { class: "classes" }, kinds, ...classes),
    ];
  }

  #units(video, item) {
    const rows = item.units.map((code, index) => this.#unit(video, item, code, index));
    const list = make("datalist", { id: "unit-names" },
      ...Object.entries(video.unit_names).map(([number, name]) =>
        make("option", { value: `${number} ${name}` })));
    const input = make("input", { type: "text", list: "unit-names", "data-field": "units",
      placeholder: "12, L4B or a name", "aria-label": "Add an action unit",
      onkeydown: (event) => { if (event.key === "Enter") add(); } });
    const add = () => {
      const code = readUnit(video, input.value);
      if (!code) {
        input.setCustomValidity("An action unit such as 12, L4 or R10C");
        input.reportValidity();
        return;
      }
      input.dataset.done = "yes"; // it need not be kept
      this.hooks.change({ units: [...item.units, code] });
    };
    input.addEventListener("input", () => input.setCustomValidity(""));
    return [
      make("h3", { text: "Action units" }),
      make("ul", { class: "units" }, ...rows),
      make("div", { class: "add-unit" }, input, list,
        make("button", { type: "button", onclick: add, text: "Add" })),
    ];
  }

  #unit(video, item, code, index) {
    const unit = parseUnit(code) || { side: "", number: code, intensity: "" };
    const change = (changes) => {
      const units = item.units.with(index, unitCode({ ...unit, ...changes }));
      this.hooks.change({ units });
    };
    const name = `${unit.number} ${video.unit_names[unit.number] || "action unit"}`;
    const choose = (field, options, label) => make("select", {
      "data-field": `unit${index}${field}`, "aria-label": `${label} of ${name}`,
      onchange: (event) => change({ [field]: event.target.value }),
    }, ...options.map(([value, text]) =>
      make("option", { value, text, selected: unit[field] === value })));
    return make("li", {}, make("span", { text: name }),
      choose("side", [["", "both"], ["L", "left"], ["R", "right"]], "Side"),
      choose("intensity", [["", "–"], ..."ABCDE"].map((one) => (
        Array.isArray(one) ? one : [one, one])), "Intensity"),
      make("button", { type: "button", text: "×", "aria-label": `Remove ${name}`,
        onclick: () => this.hooks.change({ units: item.units.toSpliced(index, 1) }) }));
  }

  #note(item) {
    const keep = () => {
      clearTimeout(this.writing);
      if (note.value !== (item.note || "")) {
        this.hooks.change({ note: note.value }, item.target);
      }
    };
    const note = make("textarea", { "data-field": "note", "aria-label": "Note", maxlength: 4000,
      onchange: keep, oninput: () => {
        clearTimeout(this.writing);
        this.writing = setTimeout(keep, NOTE_MS);
      } });
    note.value = item.note || "";
    const confidence = make("select", { "data-field": "confidence", "aria-label": "Confidence",
      onchange: (event) => this.hooks.change({ confidence: Number(event.target.value) || null }) },
    ...CONFIDENCE.map((text, value) => make("option", {
      value: value || "", text: text || "confidence –", selected: (item.confidence || 0) === value,
    })));
    return [make("h3", { text: "Note and confidence" }), note, confidence];
  }

  #reading(video, item) {
    if (!item.found) return [];
    if (!item.reading) {
      const text = item.expression && !item.reason ? video.silent : "";
      return text ? [make("p", { class: "quiet", text })] : [];
    }
    const { probabilities, units, abstained, present, intensity } = item.reading;
    const likely = Object.entries(units).sort((a, b) => b[1] - a[1]).slice(0, SHOWN_UNITS);
    const named = likely.map(([number, p]) => [`${number} ${video.unit_names[number] || ""}`, p]);
    const said = [];
    if (present !== null) said.push(`expression at all ${present.toFixed(2)}`);
    if (intensity !== null) said.push(`largest movement ${intensity.toFixed(2)} % of the face crop`);
    return [
      make("h3", { text: "What the recognizer says" }),
      ...(abstained ? [make("p", { class: "quiet", text: video.abstains })] : []),
      bars(Object.entries(probabilities).sort((a, b) => b[1] - a[1])),
      make("h3", { text: "Likeliest action units" }),
      bars(named),
      make("p", { class: "quiet", text: said.join(", ") }),
    ];
  }
}

function bars(rows) {
  return make("div", { class: "bars" }, ...rows.flatMap(([name, value]) => [
    make("span", { text: name }),
    bar(name, value),
    make("span", { class: "value", text: value.toFixed(2) }),
  ]));
}

function bar(name, value) {
  const filled = make("span");
  filled.style.width = `${100 * value}%`;
  return make("div", { class: "bar", role: "meter", "aria-label": name, "aria-valuemin": 0,
    "aria-valuemax": 1, "aria-valuenow": value.toFixed(2) }, filled);
}

/** "12", "L4B", "12 lip corner puller" or a name that only one unit bears. */
function readUnit(video, text) {
  const words = text.trim();
  const first = words.split(/\s/)[0].replace(/^AU/i, "").toUpperCase();
  if (/^[LR]?[1-9]\d?[A-E]?$/.test(first)) return first;
  const found = Object.entries(video.unit_names).filter(([, name]) =>
    words.length > 2 && name.includes(words.toLowerCase()));
  return found.length === 1 ? found[0][0] : null;
}
