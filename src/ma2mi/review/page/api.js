// What the page asks of the server, and the queue that decisions wait in until they are kept.

const RETRY_MS = 2000;

export async function ask(path, options = {}) {
  const answer = await fetch(path, options);
  if (!answer.ok) {
    const body = await answer.json().catch(() => ({}));
    const error = new Error(body.error || `the server refuses (${answer.status})`);
    error.refused = true;
    throw error;
  }
  return answer;
}

export async function askJson(path) {
  return (await ask(path)).json();
}

export function post(path, tree) {
  return ask(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(tree),
  });
}

/** Sends one action after the other; what does not arrive is sent again under the same key. */
export class SaveQueue {
  constructor(onState, onStatus) {
    this.waiting = [];
    this.busy = false;
    this.onState = onState;
    this.onStatus = onStatus;
    window.addEventListener("beforeunload", (event) => {
      if (this.waiting.length) event.preventDefault();
    });
  }

  add(path, tree) {
    this.waiting.push({ path, tree: { ...tree, key: crypto.randomUUID() } });
    this.#send();
  }

  get pending() {
    return this.waiting.length;
  }

  async #send() {
    if (this.busy) return;
    this.busy = true;
    while (this.waiting.length) {
      const { path, tree } = this.waiting[0];
      try {
        const state = await (await post(path, tree)).json();
        this.waiting.shift();
        this.onState(path, state);
        this.onStatus(this.waiting.length ? "saving" : "saved");
      } catch (error) {
        if (error.refused) {
          this.waiting.shift();
          this.onStatus("refused", error.message);
          continue;
        }
        this.onStatus("unsaved", `not saved: the server does not answer (${this.pending} waiting)`);
        await new Promise((wake) => setTimeout(wake, RETRY_MS));
      }
    }
    this.busy = false;
  }
}
