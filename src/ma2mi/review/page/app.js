// The page: opens a video, and lets keys and buttons act on it.

import { actionsOf } from "./actions.js";
import { ask, askJson, SaveQueue } from "./api.js";
import { Decisions, moveEnd, peakOf } from "./decisions.js";
import { KeyDialog } from "./dialog.js";
import { Keys, shown } from "./keys.js";
import { listEvents, showQuality, VERDICTS, videoName } from "./lists.js";
import { make, Panel } from "./panel.js";
import { Player, SPEEDS } from "./player.js";
import { Sound } from "./sound.js";
import { Timeline } from "./timeline.js";

const POLL_MS = 3000; // another tab of the same coder may decide, too
const FIELDS = ["INPUT", "SELECT", "TEXTAREA"];
const CAPTIONS = {
  full: "",
  face: "face at the video's own resolution",
  flow: "movement since the onset, head motion removed",
  magnified: "movement since the onset, magnified",
};
const at = (id) => document.getElementById(id);

class Review {
  constructor() {
    this.keys = new Keys();
    this.decisions = new Decisions();
    this.player = new Player(at("picture"), {
      shown: (frame) => this.#onFrame(frame),
      failed: (message) => this.#say(message),
      drawn: (times) => this.#onDrawn(times),
      waiting: (is) => { at("waiting").hidden = !is; },
      stopped: () => this.#onStop(),
    });
    this.timeline = new Timeline(at("lanes"), at("hover"), {
      seek: (frame) => { this.player.stop(); this.player.show(frame); },
      select: (target) => this.select(target, { seek: false }),
      words: (item) => this.#words(item),
    });
    this.panel = new Panel(at("panel"), {
      act: (name) => this.act(name),
      change: (changes, target) => this.edit(changes, target),
      key: (name) => shown(this.keys.of(name)[0] || ""),
      seconds: (frame) => this.times[frame] ?? 0,
    });
    this.queue = new SaveQueue(
      (path, state) => this.#onState(path, state),
      (status, message) => this.#onSaved(status, message),
    );
    this.actions = actionsOf(this);
    this.sound = new Sound();
    this.view = "full";
    this.target = null;
    this.start = null; // of a range that is being excluded
  }

  async begin() {
    await this.keys.load();
    this.dialog = new KeyDialog(this.keys, (exact) => {
      this.player.exact = exact;
      this.player.show(this.player.frame);
    });
    const listed = await askJson("/api/videos");
    document.title = `ma2mi review, ${listed.coder}`;
    at("videos").replaceChildren(...listed.videos.map((one) => make("option", {
      value: one.number, text: videoName(one.name, one.decided, one.events),
    })));
    at("videos").addEventListener("change", (event) => this.open(Number(event.target.value)));
    document.addEventListener("keydown", (event) => this.#onKey(event));
    document.addEventListener("click", (event) => {
      const name = event.target.closest("[data-do]")?.dataset.do;
      if (name) this.act(name);
      // Who clicks goes on with the keys; who pressed a button by a key stays there.
      if (event.detail && event.target.closest("button")) this.#focus();
    });
    at("undo").addEventListener("click", () => this.act("undo"));
    at("help").addEventListener("click", () => this.act("help"));
    setInterval(() => this.#poll(), POLL_MS);
    const asked = Number(location.hash.slice(1)); // "#2" opens the third video
    await this.open(asked in listed.videos ? asked : 0);
    this.#focus();
  }

  #focus() {
    if (!at("keys").open) at("stage").focus({ preventScroll: true });
  }

  async open(number) {
    const path = `/api/video/${number}`;
    at("picture").removeAttribute("data-frame");
    at("waiting").hidden = false;
    const video = await askJson(path);
    const [times, state] = await Promise.all([
      ask(`${path}/times`).then((answer) => answer.arrayBuffer()),
      askJson(`${path}/decisions`),
    ]);
    Object.assign(this, { video, path, target: null, start: null });
    history.replaceState(null, "", `#${number}`);
    at("videos").value = number;
    this.times = new Float64Array(times);
    this.usable = video.status === "ready";
    at("problem").hidden = this.usable;
    at("problem").textContent = video.problem;
    at("waiting").hidden = true;
    this.sound.close();
    press("sound", false);
    document.querySelector("[data-do=sound]").hidden = !video.sound;
    this.decisions.open(video, state);
    this.player.open(number, this.usable ? this.times : [], video.width);
    this.timeline.open(video, this.times);
    this.setView("full");
    showQuality(at("quality"), video.quality);
    this.#refresh();
    if (this.usable) this.player.show(0);
    at("legend").textContent = video.faces.length
      ? "curve: movement in px of the face crop; dashed: noise floor; hatched: rejected; "
        + "shaded: speech and blinks" : "";
  }

  get item() {
    return this.target && this.decisions.item(this.target);
  }

  select(target, { seek = true } = {}) {
    this.target = target;
    const { item } = this;
    if (item && seek) {
      this.player.stop();
      if (this.view !== "full") this.setView(this.view);
      this.player.show(item.onset);
    }
    this.#refresh();
  }

  /** Sends an action and shows it at once. */
  send(action) {
    if (!this.usable) {
      this.#say(this.video.problem);
      return;
    }
    this.decisions.apply(action);
    this.queue.add(`${this.path}/decisions`, action);
    this.#onSaved("saving");
    this.#refresh();
  }

  edit(changes, target = this.target) {
    const item = target && this.decisions.item(target);
    if (item) this.send(this.decisions.action("edit", item, changes));
  }

  decide(verdict) {
    if (!this.item) return;
    this.send(this.decisions.action(verdict, this.item));
  }

  moveEnd(end, frame) {
    if (!this.item) return;
    const ends = moveEnd(this.item, end, frame, this.times.length);
    this.edit(ends);
    this.player.stop();
    this.player.show(ends[end]);
  }

  add() {
    const frame = this.player.frame;
    const target = `added-${crypto.randomUUID()}`;
    this.send({ kind: "add", target, onset: frame, apex: frame, offset: frame,
      event_kind: "micro" });
    this.select(target, { seek: false });
  }

  exclude() {
    const frame = this.player.frame;
    if (this.start === null) {
      this.start = frame;
    } else {
      const [onset, offset] = [Math.min(this.start, frame), Math.max(this.start, frame)];
      this.start = null;
      this.send({ kind: "exclude", target: `range-${crypto.randomUUID()}`, onset, offset });
    }
    this.#refresh();
  }

  remove() {
    const { frame } = this.player;
    const range = this.decisions.state.ranges.find((one) =>
      one.onset <= frame && frame <= one.offset);
    if (this.item?.added) {
      this.send({ kind: "remove", target: this.target });
      this.select(null);
    } else if (range) {
      this.send({ kind: "remove", target: range.target });
    }
  }

  go(sign, undecided) {
    const next = this.decisions.next(this.target, sign, undecided);
    if (next) this.select(next.target);
    else this.#say(undecided ? "All are decided." : "There are no events.", true);
  }

  setView(view) {
    this.view = view;
    const { item } = this;
    const anchor = item ? item.onset : this.player.frame;
    this.player.setView(view === "full" ? { view }
      : { view, from: anchor, peak: item ? peakOf(item) : anchor, face: item ? item.face : 0 });
    for (const name of ["face", "flow", "magnified"]) press(name, name === view);
  }

  toggleView(view) {
    this.setView(this.view === view ? "full" : view);
  }

  play(how) {
    const was = this.playing;
    this.player.stop();
    if (was === how) return;
    const { item } = this;
    if (how !== "play" && !item) return;
    if (how === "blink") this.player.blink(item.onset, item.apex);
    else if (how === "loop") {
      this.player.play({ first: item.onset, last: item.offset, loop: true });
    } else this.player.play();
    this.playing = how;
    this.#playing();
    this.sound.follow(this.times[this.player.frame], how !== "blink" && this.player.speed === 1);
  }

  changeSpeed(sign) {
    const place = SPEEDS.indexOf(this.player.speed) + sign;
    this.player.speed = SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, place))];
    at("speed").textContent = `${this.player.speed}×`;
    if (this.playing && this.playing !== "blink") {
      const how = this.playing;
      this.player.stop();
      this.play(how);
    }
  }

  /** Sound is heard at the speed of 1 only. */
  async toggleSound() {
    if (!this.video.sound) return;
    try {
      press("sound", await this.sound.toggle(this.video.number));
    } catch (error) {
      this.#say(error.message);
    }
  }

  step(frames) {
    this.player.stop();
    this.player.show(this.player.frame + frames);
  }

  act(name) {
    const { item } = this;
    const ends = /^(onset|apex|offset)(Earlier|Later|Here)$/.exec(name);
    if (ends) {
      const shift = { Earlier: -1, Later: 1 }[ends[2]];
      if (item) this.moveEnd(ends[1], shift ? item[ends[1]] + shift : this.player.frame);
    } else if (name.startsWith("class")) {
      const label = this.video.classes[Number(name.slice(5)) - 1];
      if (item && label) this.edit({ label: item.label === label ? "" : label });
    } else {
      this.actions[name]?.();
    }
  }

  #onKey(event) {
    if (at("keys").open) return; // the dialog has its own
    const { target } = event;
    const writes = FIELDS.includes(target.tagName);
    if (event.key === "Escape") {
      this.#focus();
      return;
    }
    if (writes || event.isComposing) return;
    const name = this.keys.actionOf(event);
    const button = target.closest("button");
    // On a button Tab moves on, and Space and Enter press it.
    if (!name || (button && (event.key === "Tab" || event.key === " "))) return;
    event.preventDefault();
    this.act(name);
  }

  #onFrame(frame) {
    const seconds = this.times[frame] ?? 0;
    at("place").textContent = `frame ${frame} of ${this.times.length - 1} · ${seconds.toFixed(3)} s`;
    this.sound.follow(seconds, ["play", "loop"].includes(this.playing) && this.player.speed === 1);
    this.timeline.follow(frame);
    this.timeline.mark({ cursor: frame });
  }

  /** How much longer the arrows are, or how much farther what is magnified goes. */
  #onDrawn(times) {
    const words = { flow: `arrows ${times} times as long`, magnified: `${times} times as far` };
    const more = times && words[this.view];
    at("caption").textContent = CAPTIONS[this.view] + (more ? `: ${more}` : "");
  }

  #onStop() {
    this.sound.stop();
    this.playing = null;
    this.#playing();
  }

  #playing() {
    at("play").textContent = this.playing === "play" ? "Stop" : "Play";
    press("loop", this.playing === "loop");
    press("blink", this.playing === "blink");
  }

  #onState(path, state) {
    if (!path.startsWith(`${this.path}/`) || this.queue.pending || !state.decisions) return;
    this.decisions.take(state);
    if (this.target && !this.item) this.target = null;
    this.#refresh();
  }

  #onSaved(status, message = "") {
    at("saved").textContent = { saving: "saving …", saved: "all saved" }[status] || message;
    at("saved").dataset.status = status;
    if (status === "unsaved" || status === "refused") this.#say(message);
    if (status === "saved" && this.usable) at("problem").hidden = true;
    if (status === "refused") this.#poll(true);
  }

  async #poll(anew = false) {
    if (!this.video || this.queue.pending || document.hidden) return;
    const since = anew ? "" : `?since=${this.decisions.state.revision}`;
    try {
      this.#onState(`${this.path}/`, await askJson(`${this.path}/decisions${since}`));
    } catch (error) {
      this.#say(error.refused ? error.message
        : "The server does not answer: run ma2mi review again. All that was saved is kept.");
    }
  }

  changeOrder() {
    this.decisions.order = this.decisions.order === "doubt" ? "time" : "doubt";
    this.#refresh();
  }

  changeBelow() {
    this.decisions.below = !this.decisions.below;
    this.#refresh();
  }

  #refresh() {
    const { item, decisions } = this;
    const { done, all } = decisions.progress;
    const option = at("videos").options[this.video.number];
    option.textContent = videoName(this.video.name, done, all);
    at("progress").textContent = all ? `${done} of ${all} decided` : "";
    at("undo").disabled = !decisions.state.last;
    at("undo").title = decisions.state.last ? `Undo: ${decisions.state.last.kind}` : "";
    at("order").textContent =
      decisions.order === "doubt" ? "most doubtful first" : "in order of time";
    press("below", decisions.below);
    at("zoom").querySelector("[data-do=exclude]").textContent =
      this.start === null ? "Exclude from here" : "Exclude up to here";
    this.panel.show(this.video, item);
    listEvents(at("events"), decisions.queue, this.target, this.times, (one) => this.select(one));
    this.timeline.mark({
      items: decisions.items, ranges: decisions.state.ranges, target: this.target,
      start: this.start,
    });
  }

  #words(item) {
    const decided = item.verdict ? `, ${VERDICTS[item.verdict]}` : "";
    const reason = item.reason ? `: ${item.reason}` : "";
    const where = item.regions.length ? `, ${item.regions.join(", ")}` : "";
    return `${item.name} ${item.kind}${where}${reason}${decided}`;
  }

  #say(text, brief = false) {
    at("problem").textContent = text;
    at("problem").hidden = false;
    clearTimeout(this.brief);
    if (brief) this.brief = setTimeout(() => { at("problem").hidden = this.usable; }, 3000);
  }
}

function press(name, is) {
  document.querySelector(`[data-do="${name}"]`).setAttribute("aria-pressed", String(is));
}

const review = new Review();
review.begin().catch((error) => {
  at("problem").textContent = error.message;
  at("problem").hidden = false;
});
