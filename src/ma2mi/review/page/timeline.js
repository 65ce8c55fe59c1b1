// The timeline: seconds and frames, the curve that decided, areas of the face, and all events.

import { askJson } from "./api.js";

const AXIS = 34; // px of height
const NAMES = 20;
const CURVE = 68;
const LEFT = 112; // px of width for the lanes' names
const LEAST_FRAMES = 12; // shown when zoomed in as far as it goes
const SECONDS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800];

export class Timeline {
  constructor(canvas, hover, hooks) {
    this.canvas = canvas;
    this.hover = hover;
    this.hooks = hooks; // seek(frame), select(target)
    this.curve = { curve: [], lanes: {}, first: 0, last: -1 };
    this.marks = { items: [], ranges: [], target: null, cursor: 0, start: null };
    new ResizeObserver(() => this.#moved()).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", () => { this.hover.hidden = true; });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  open(video, times) {
    Object.assign(this, { video, times, first: 0, last: Math.max(1, times.length - 1) });
    this.curve = { curve: [], lanes: {}, first: 0, last: -1 };
    this.#moved();
  }

  mark(marks) {
    const { face } = this;
    Object.assign(this.marks, marks);
    if (this.face === face) this.draw();
    else this.#moved();
  }

  /** The face whose movement is drawn: that of the present event, or the first. */
  get face() {
    const { items, target } = this.marks;
    const item = items.find((one) => one.target === target && one.found);
    return item ? item.face : this.video?.faces[0]?.face;
  }

  /** Zooms around the cursor, or a frame: 2 shows half as much. */
  zoom(factor, around = this.marks.cursor) {
    const end = Math.max(1, this.times.length - 1);
    const length = Math.min(end, Math.max(LEAST_FRAMES, (this.last - this.first) / factor));
    const share = Math.min(1, Math.max(0, (around - this.first) / (this.last - this.first)));
    this.first = Math.max(0, Math.min(end - length, around - share * length));
    this.last = this.first + length;
    this.#moved();
  }

  zoomAll() {
    this.zoom(1e-9);
  }

  /** Moves the view so that a frame is in it. */
  follow(frame) {
    const length = this.last - this.first;
    if (frame >= this.first && frame <= this.last) return;
    this.first = Math.max(0, Math.min(this.times.length - 1 - length, frame - length / 4));
    this.last = this.first + length;
    this.#moved();
  }

  #moved() {
    if (!this.video) return;
    this.draw();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#load(), 120);
  }

  async #load() {
    const { number } = this.video;
    const bins = Math.round(this.canvas.clientWidth - this.left);
    const [first, last] = [Math.floor(this.first), Math.ceil(this.last)];
    if (bins < 1 || !this.video.faces.length) return;
    const query = `face=${this.face}&from=${first}&to=${last}&bins=${bins}`;
    const curve = await askJson(`/api/video/${number}/curve?${query}`).catch(() => null);
    if (curve && this.video.number === number) {
      this.curve = curve;
      this.draw();
    }
  }

  get left() {
    return this.canvas.clientWidth < 600 ? 8 : LEFT;
  }

  x(frame) {
    const width = this.canvas.clientWidth - this.left - 8;
    return this.left + ((frame - this.first) / (this.last - this.first)) * width;
  }

  frameAt(x) {
    const width = this.canvas.clientWidth - this.left - 8;
    const frame = this.first + ((x - this.left) / width) * (this.last - this.first);
    return Math.max(0, Math.min(this.times.length - 1, Math.round(frame)));
  }

  /** Height of the top of a lane; the last one is where the lanes end. */
  laneTop(lane) {
    const top = AXIS + NAMES + CURVE;
    const height = (this.canvas.clientHeight - top) / this.video.lanes.length;
    return top + lane * height;
  }

  draw() {
    if (!this.video || !this.times.length) return;
    const { canvas } = this;
    const scale = window.devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
    if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    this.colour = (name) => style.getPropertyValue(`--${name}`).trim();
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    this.#drawShading(pen, height);
    this.#drawAxis(pen, width);
    this.#drawLanes(pen, width);
    this.#drawCurve(pen, width);
    this.#drawEvents(pen);
    this.#drawCursor(pen, height);
    const { items, ranges } = this.marks;
    canvas.setAttribute("aria-label", `Timeline: ${items.length} events and candidates, ` +
      `${ranges.length} excluded ranges, frame ${this.marks.cursor} of ${this.times.length}`);
  }

  #box(pen, onset, offset, top, height) {
    const left = Math.max(this.left, this.x(onset - 0.5));
    const right = Math.min(this.canvas.clientWidth, this.x(offset + 0.5));
    if (right > left) pen.rect(left, top, Math.max(2, right - left), height);
    return right > left;
  }

  /** Speech and blinks, and what does not count. */
  #drawShading(pen, height) {
    const shaded = this.marks.items.filter((one) => one.kind === "speech" || one.kind === "blink");
    for (const one of shaded) {
      pen.globalAlpha = one.kind === "speech" ? 0.16 : 0.2;
      pen.fillStyle = this.colour(one.kind);
      pen.beginPath();
      this.#box(pen, one.onset, one.offset, AXIS, height - AXIS);
      pen.fill();
    }
    pen.globalAlpha = 1;
    for (const one of this.marks.ranges) {
      this.#hatch(pen, one.onset, one.offset, AXIS, height - AXIS, this.colour("quiet"));
    }
  }

  #hatch(pen, onset, offset, top, height, colour) {
    pen.save();
    pen.beginPath();
    if (this.#box(pen, onset, offset, top, height)) {
      pen.clip();
      pen.strokeStyle = colour;
      pen.globalAlpha = 0.55;
      pen.lineWidth = 1;
      pen.beginPath();
      const [left, right] = [this.x(onset - 0.5), this.x(offset + 0.5)];
      for (let x = left - height; x < right; x += 7) {
        pen.moveTo(x, top + height);
        pen.lineTo(x + height, top);
      }
      pen.stroke();
    }
    pen.restore();
  }

  #drawAxis(pen, width) {
    const [start, end] = [Math.floor(this.first), Math.ceil(this.last)];
    const at = (frame) => this.times[Math.max(0, Math.min(this.times.length - 1, frame))];
    const shown = Math.max(1e-6, at(end) - at(start));
    const most = Math.max(2, (width - this.left) / 70);
    const step = SECONDS.find((one) => shown / one <= most) || 3600;
    pen.fillStyle = this.colour("quiet");
    pen.strokeStyle = this.colour("line");
    pen.textAlign = "center";
    pen.beginPath();
    const digits = step < 0.1 ? 2 : step < 1 ? 1 : 0;
    for (let s = Math.ceil(at(start) / step) * step; s <= at(end); s += step) {
      const frame = this.#frameOf(s);
      const x = this.x(frame);
      pen.moveTo(x, AXIS);
      pen.lineTo(x, this.canvas.clientHeight);
      if (x > this.left + 12 && x < width - 22) {
        pen.fillText(`${s.toFixed(digits)} s`, x, 10);
        pen.fillText(`${Math.round(frame)}`, x, 24);
      }
    }
    pen.stroke();
    if (this.left === LEFT) {
      pen.textAlign = "right";
      pen.fillText("seconds", this.left - 8, 10);
      pen.fillText("frame", this.left - 8, 24);
    }
  }

  /** The frame at a time, between two frames as a fraction. */
  #frameOf(second) {
    let [low, high] = [0, this.times.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= second) low = middle;
      else high = middle;
    }
    const step = this.times[high] - this.times[low];
    return step > 0 ? low + (second - this.times[low]) / step : low;
  }

  #drawLanes(pen, width) {
    this.video.lanes.forEach((name, lane) => {
      const [top, bottom] = [this.laneTop(lane), this.laneTop(lane + 1)];
      pen.strokeStyle = this.colour("line");
      pen.beginPath();
      pen.moveTo(0, top + 0.5);
      pen.lineTo(width, top + 0.5);
      pen.stroke();
      const values = this.curve.lanes[name] || [];
      this.#area(pen, values, top + 2, bottom - 1, scaleOf(values), this.colour("quiet"), 0.45);
      this.#name(pen, name, top, bottom);
    });
  }

  /** A lane's name, left of it, or on it where there is no room. */
  #name(pen, name, top, bottom) {
    const beside = this.left === LEFT;
    const [x, y] = [beside ? this.left - 8 : 4, beside ? (top + bottom) / 2 : top + 8];
    pen.textAlign = beside ? "right" : "left";
    pen.lineWidth = 3;
    pen.strokeStyle = this.colour("surface");
    pen.strokeText(name, x, y);
    pen.lineWidth = 1;
    pen.fillStyle = this.colour("ink");
    pen.fillText(name, x, y);
  }

  #area(pen, values, top, bottom, most, colour, alpha) {
    if (!values.length) return;
    const { first, last } = this.curve;
    const step = (last - first + 1) / values.length;
    pen.save();
    pen.beginPath();
    pen.rect(this.left, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    pen.clip();
    pen.globalAlpha = alpha;
    pen.fillStyle = colour;
    pen.beginPath();
    values.forEach((value, index) => {
      if (value === null) return;
      const left = this.x(first + index * step - 0.5);
      const right = this.x(first + (index + 1) * step - 0.5);
      const height = Math.min(1, value / most) * (bottom - top);
      pen.rect(left, bottom - height, Math.max(0.5, right - left), height);
    });
    pen.fill();
    pen.restore();
  }

  #drawCurve(pen, width) {
    const [top, bottom] = [AXIS + NAMES, AXIS + NAMES + CURVE];
    const most = scaleOf(this.curve.curve);
    this.#area(pen, this.curve.curve, top + 4, bottom - 1, most, this.colour("accent"), 0.85);
    const floor = this.video.faces.find((one) => one.face === this.face)?.floor_px;
    if (floor) {
      const y = bottom - 1 - Math.min(1, floor / most) * (bottom - top - 5);
      pen.strokeStyle = this.colour("warn");
      pen.setLineDash([5, 4]);
      pen.beginPath();
      pen.moveTo(this.left, y);
      pen.lineTo(width, y);
      pen.stroke();
      pen.setLineDash([]);
    }
    this.#name(pen, "movement", top, bottom);
  }

  #drawEvents(pen) {
    const events = this.marks.items.filter((one) => one.kind !== "speech" && one.kind !== "blink");
    let taken = -Infinity; // up to where numbers are written
    for (const one of events) {
      const colour = this.colour(one.added ? "added" : one.kind === "macro" ? "macro" : "micro");
      const chosen = one.target === this.marks.target;
      const dead = one.verdict === "reject" || (one.reason && one.verdict !== "accept");
      const height = AXIS + NAMES + CURVE;
      if (dead) this.#hatch(pen, one.onset, one.offset, AXIS + NAMES, CURVE, colour);
      pen.beginPath();
      if (!this.#box(pen, one.onset, one.offset, AXIS, height - AXIS)) continue;
      pen.fillStyle = colour;
      pen.globalAlpha = dead ? 0.06 : 0.2;
      pen.fill();
      pen.globalAlpha = 1;
      pen.strokeStyle = colour;
      pen.lineWidth = chosen ? 2 : 1;
      pen.stroke();
      this.#fillLanes(pen, one, colour, dead ? 0.25 : 0.6);
      pen.fillStyle = chosen ? colour : this.colour("ink");
      pen.textAlign = "center";
      pen.font = `${chosen ? "bold " : ""}11px system-ui, sans-serif`;
      const middle = this.x((one.onset + one.offset) / 2);
      if (middle > this.left && (middle > taken || chosen)) {
        pen.fillText(one.name, middle, AXIS + NAMES / 2);
        taken = middle + pen.measureText(one.name).width + 4;
      }
      if (chosen) this.#drawApex(pen, one, colour);
    }
    pen.lineWidth = 1;
  }

  #fillLanes(pen, one, colour, alpha) {
    this.video.lanes.forEach((name, lane) => {
      if (!one.lanes.includes(name)) return;
      pen.beginPath();
      const top = this.laneTop(lane);
      this.#box(pen, one.onset, one.offset, top + 3, this.laneTop(lane + 1) - top - 6);
      pen.globalAlpha = alpha;
      pen.fillStyle = colour;
      pen.fill();
      pen.globalAlpha = 1;
    });
  }

  #drawApex(pen, one, colour) {
    const x = this.x(one.apex);
    pen.fillStyle = colour;
    pen.beginPath();
    pen.moveTo(x - 4, AXIS + NAMES);
    pen.lineTo(x + 4, AXIS + NAMES);
    pen.lineTo(x, AXIS + NAMES + 6);
    pen.fill();
  }

  #drawCursor(pen, height) {
    if (this.marks.start !== null) {
      const ends = [this.marks.start, this.marks.cursor].sort((a, b) => a - b);
      this.#hatch(pen, ends[0], ends[1], AXIS, height - AXIS, this.colour("warn"));
    }
    const x = this.x(this.marks.cursor);
    if (x < this.left) return;
    pen.fillStyle = this.colour("ink");
    pen.fillRect(x - 0.75, AXIS - 4, 1.5, height);
    pen.beginPath();
    pen.arc(x, AXIS - 4, 3.5, 0, 7);
    pen.fill();
  }

  #wheel(event) {
    event.preventDefault();
    const length = this.last - this.first;
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const shift = Math.sign(event.deltaX || event.deltaY) * length * 0.1;
      this.first = Math.max(0, Math.min(this.times.length - 1 - length, this.first + shift));
      this.last = this.first + length;
      this.#moved();
    } else {
      this.zoom(event.deltaY < 0 ? 1.25 : 0.8, this.frameAt(event.offsetX));
    }
  }

  #itemAt(event) {
    const frame = this.frameAt(event.offsetX);
    const slack = (4 * (this.last - this.first)) / this.canvas.clientWidth;
    const inside = this.marks.items.filter((one) =>
      frame >= one.onset - slack && frame <= one.offset + slack);
    return inside.sort((a, b) => Number(!!a.reason) - Number(!!b.reason) ||
      a.offset - a.onset - (b.offset - b.onset))[0];
  }

  #press(event) {
    const item = event.offsetY > AXIS ? this.#itemAt(event) : undefined;
    if (item && item.expression) this.hooks.select(item.target);
    this.hooks.seek(this.frameAt(event.offsetX));
    this.canvas.setPointerCapture(event.pointerId);
  }

  #point(event) {
    if (event.buttons === 1) this.hooks.seek(this.frameAt(event.offsetX));
    const item = this.#itemAt(event);
    this.hover.hidden = !item;
    if (!item) return;
    this.hover.textContent = this.hooks.words(item);
    const most = this.canvas.clientWidth - this.hover.offsetWidth - 8;
    this.hover.style.left = `${Math.max(0, Math.min(most, event.offsetX + 10))}px`;
  }
}

/** The largest value, but for the top fiftieth: a turn of the head would flatten all else. */
function scaleOf(values) {
  const known = values.filter((one) => one !== null).sort((a, b) => a - b);
  return Math.max(1e-6, 1.2 * (known[Math.floor(0.98 * (known.length - 1))] || 0));
}
