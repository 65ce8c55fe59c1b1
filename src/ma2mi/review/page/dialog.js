// The list of keys, where each can be changed.

import { ACTIONS, nameOf, shown } from "./keys.js";
import { make } from "./panel.js";

const at = (id) => document.getElementById(id);

export class KeyDialog {
  constructor(keys, onExact) {
    this.keys = keys;
    this.root = at("keys");
    this.waiting = null; // the action whose key is being chosen
    this.root.addEventListener("keydown", (event) => this.#onKey(event));
    at("close-keys").addEventListener("click", () => this.root.close());
    at("reset-keys").addEventListener("click", () => this.#done(keys.reset(), "as at first"));
    at("export-keys").addEventListener("click", () => this.#save());
    at("import-keys").addEventListener("click", () => at("keys-file").click());
    at("keys-file").addEventListener("change", (event) => this.#read(event.target.files[0]));
    at("exact").addEventListener("change", (event) => onExact(event.target.checked));
    this.root.addEventListener("close", () => {
      this.waiting = null;
      at("stage").focus();
    });
  }

  open() {
    this.#draw();
    this.#say("");
    this.root.showModal();
  }

  #draw() {
    const rows = Object.entries(ACTIONS).map(([action, [words]]) => make("div", {},
      make("span", { text: words }),
      make("button", {
        type: "button", "data-action": action,
        "aria-label": `${words}: ${this.keys.of(action).map(shown).join(", ") || "no key"}`,
        text: this.keys.of(action).map(shown).join("  ") || "–",
        onclick: () => {
          this.waiting = action;
          this.#say(`Press the key for: ${words}. Escape leaves it as it is.`);
        },
      })));
    at("bindings").replaceChildren(...rows);
  }

  #onKey(event) {
    if (!this.waiting || ["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    const action = this.waiting;
    this.waiting = null;
    if (event.key === "Escape") {
      this.#say("");
      return;
    }
    const key = nameOf(event);
    this.#done(this.keys.bind(action, key), `${shown(key)}: ${ACTIONS[action][0]}`, action);
  }

  async #done(work, words, action) {
    try {
      const owner = await work;
      this.#say(owner ? `${words}; it was: ${ACTIONS[owner][0]}` : words);
    } catch (error) {
      this.#say(`for this visit only: ${error.message}`);
    }
    this.#draw();
    if (action) this.root.querySelector(`[data-action="${action}"]`).focus();
  }

  #save() {
    const file = new Blob([this.keys.exported()], { type: "application/json" });
    const link = make("a", { href: URL.createObjectURL(file), download: "review-keys.json" });
    link.click();
    URL.revokeObjectURL(link.href);
  }

  async #read(file) {
    if (!file) return;
    await this.#done(this.keys.imported(await file.text()), `read from ${file.name}`);
  }

  #say(text) {
    at("binding").textContent = text;
  }
}
