// Shows single frames, exactly those that were decoded, and plays them by their own times.

const KEPT_BYTES = 256 * 2 ** 20; // of decoded pictures in the browser
const AHEAD = 8; // frames fetched before they are wanted
const BEHIND = 3;
const AT_ONCE = 3; // of such fetches
const SIZE_STEP = 320; // px: pictures are fetched in few sizes, so that each is found again
const BLINK_MS = 450;

export const SPEEDS = [0.05, 0.1, 0.2, 0.25, 0.5, 0.75, 1, 1.5, 2];

export class Player {
  constructor(canvas, hooks) {
    this.canvas = canvas;
    this.hooks = hooks; // shown(frame), drawn(times), failed(message), waiting(is), stopped()
    this.frame = 0;
    this.view = { view: "full" };
    this.exact = false;
    this.speed = 1;
    this.kept = new Map(); // address to picture, the one used last at the end
    this.keptBytes = 0;
    this.fetches = new Map(); // address to {promise, abort, frame}
    this.times = [];
  }

  open(number, times, width) {
    this.stop();
    for (const { abort } of this.fetches.values()) abort.abort();
    this.fetches.clear();
    for (const picture of this.kept.values()) picture.close();
    this.kept.clear();
    this.keptBytes = 0;
    Object.assign(this, { number, times, width, frame: 0, drawn: null, stride: 1 });
  }

  get count() {
    return this.times.length;
  }

  /** Shows a frame as soon as it is there, unless another one is wanted by then. */
  async show(frame) {
    const wanted = Math.max(0, Math.min(this.count - 1, frame));
    if (wanted !== this.frame) this.stride = wanted - this.frame;
    this.frame = wanted;
    this.hooks.shown(wanted);
    const address = this.#address(wanted);
    const there = this.#take(address);
    if (there) {
      this.#draw(there, address, wanted);
    } else {
      const slow = setTimeout(() => this.hooks.waiting(true), 150);
      try {
        const picture = await this.#fetch(address, wanted, true);
        if (address === this.#address(this.frame)) this.#draw(picture, address, wanted);
      } catch (error) {
        if (error.name !== "AbortError" && wanted === this.frame) this.hooks.failed(error.message);
      } finally {
        clearTimeout(slow);
        if (wanted === this.frame) this.hooks.waiting(false);
      }
    }
    this.#prefetch();
  }

  setView(view) {
    this.view = view;
    return this.show(this.frame);
  }

  /** Plays from the present frame to `last`; from there on again at `first` if it loops. */
  play({ first = 0, last = this.count - 1, loop = false } = {}) {
    this.stop();
    if (this.frame >= last || this.frame < first) this.show(first);
    let started = performance.now();
    let from = this.times[this.frame];
    this.playing = { loop };
    const step = (now) => {
      if (!this.playing) return;
      const clock = from + ((now - started) / 1000) * this.speed;
      let next = this.frame;
      for (let one = this.frame + 1; one <= last && this.times[one] <= clock; one += 1) {
        if (this.kept.has(this.#address(one))) next = one;
      }
      if (next !== this.frame) {
        this.show(next);
      } else if (this.frame < last && clock >= this.times[this.frame + 1]) {
        [started, from] = [now, this.times[this.frame + 1]]; // the pictures come late: so does time
        this.#prefetch();
      } else if (this.frame >= last && clock >= this.times[last] + this.#stepAt(last)) {
        if (!loop) {
          this.stop();
          return;
        }
        this.show(first);
        [started, from] = [now, this.times[first]];
      }
      this.playing.request = requestAnimationFrame(step);
    };
    this.playing.request = requestAnimationFrame(step);
  }

  /** Shows two frames in turn. */
  blink(one, other) {
    this.stop();
    let now = one;
    this.show(now);
    const timer = setInterval(() => {
      now = now === one ? other : one;
      this.show(now);
    }, BLINK_MS);
    this.playing = { timer };
  }

  stop() {
    if (!this.playing) return;
    cancelAnimationFrame(this.playing.request);
    clearInterval(this.playing.timer);
    this.playing = null;
    this.hooks.stopped();
  }

  #stepAt(frame) {
    const before = Math.max(0, frame - 1);
    return frame > before ? this.times[frame] - this.times[before] : 0;
  }

  #address(frame) {
    const query = new URLSearchParams(this.view);
    if (this.exact) query.set("format", "png");
    else if (this.view.view === "full") query.set("size", String(this.#size()));
    return `/api/video/${this.number}/frame/${frame}?${query}`;
  }

  /** Width to fetch: no more than is shown, in steps; 0 is the full one. */
  #size() {
    const shown = this.canvas.parentElement.clientWidth * window.devicePixelRatio;
    const wanted = Math.ceil(shown / SIZE_STEP) * SIZE_STEP;
    return wanted >= this.width ? 0 : wanted;
  }

  async #fetch(address, frame, urgent) {
    if (urgent) this.#abortFar(frame);
    let going = this.fetches.get(address);
    if (!going) {
      const abort = new AbortController();
      going = { abort, frame, promise: this.#load(address, abort.signal, urgent) };
      this.fetches.set(address, going);
      const done = () => this.fetches.delete(address);
      going.promise.then(done, done);
    }
    return going.promise;
  }

  #abortFar(frame) {
    for (const [address, { abort, frame: one }] of this.fetches) {
      if (Math.abs(one - frame) > AHEAD) {
        abort.abort();
        this.fetches.delete(address);
      }
    }
  }

  async #load(address, signal, urgent) {
    const answer = await fetch(urgent ? address : `${address}&ahead=1`, { signal });
    if (!answer.ok) {
      throw new Error((await answer.json().catch(() => ({}))).error || "no such frame");
    }
    const exact = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
    const picture = await createImageBitmap(await answer.blob(), exact);
    picture.times = answer.headers.get("x-times"); // of a magnification
    this.#keep(address, picture);
    return picture;
  }

  #take(address) {
    const picture = this.kept.get(address);
    if (picture) {
      this.kept.delete(address);
      this.kept.set(address, picture);
    }
    return picture;
  }

  #keep(address, picture) {
    this.kept.set(address, picture);
    this.keptBytes += 4 * picture.width * picture.height;
    for (const [oldest, old] of this.kept) {
      if (this.keptBytes <= KEPT_BYTES || oldest === address) break;
      this.kept.delete(oldest);
      this.keptBytes -= 4 * old.width * old.height;
      old.close();
    }
  }

  #draw(picture, address, frame) {
    this.hooks.waiting(false);
    if (this.drawn === address) return;
    const { canvas } = this;
    if (canvas.width !== picture.width || canvas.height !== picture.height) {
      [canvas.width, canvas.height] = [picture.width, picture.height];
    }
    canvas.getContext("2d", { willReadFrequently: false }).drawImage(picture, 0, 0);
    this.drawn = address;
    this.hooks.drawn(picture.times);
    canvas.dataset.frame = frame;
    canvas.dataset.drawn = performance.now();
    canvas.setAttribute("aria-label", `Frame ${frame} at ${this.times[frame].toFixed(3)} s`);
  }

  /** Fetches what is near: first what the same step leads to, then the way that it goes. */
  #prefetch() {
    const { stride } = this;
    const sign = Math.sign(stride);
    const near = Math.abs(stride) <= AHEAD ? [this.frame + stride, this.frame + 2 * stride] : [];
    for (let step = 1; step <= AHEAD; step += 1) near.push(this.frame + sign * step);
    for (let step = 1; step <= BEHIND; step += 1) near.push(this.frame - sign * step);
    for (const frame of near) {
      if (this.fetches.size >= AT_ONCE) return;
      if (frame < 0 || frame >= this.count) continue;
      const address = this.#address(frame);
      if (this.kept.has(address) || this.fetches.has(address)) continue;
      const more = () => this.#prefetch();
      this.#fetch(address, frame, false).then(more, () => {}); // fails when it is asked for
    }
  }
}
