// The events of a video as this coder has them: what was found, what was decided, what was added.

const VERDICTS = ["accept", "reject", "unsure"];
const ENDS = ["onset", "apex", "offset"];

export class Decisions {
  constructor() {
    this.video = null;
    this.state = { decisions: {}, ranges: [], revision: 0, last: null };
    this.order = "doubt";
    this.below = false;
  }

  open(video, state) {
    this.video = video;
    this.state = state;
    this.#merge();
  }

  take(state) {
    if (!state.decisions) return; // nothing new
    this.state = state;
    this.#merge();
  }

  /** All events by their onset, candidates below the threshold too. */
  get items() {
    return this.merged;
  }

  item(target) {
    return this.merged.find((one) => one.target === target);
  }

  /** What Tab goes through: expressions, and what a coder marked. */
  get queue() {
    const listed = this.merged.filter((one) =>
      one.added || (one.expression && (!one.reason || this.below || one.verdict)));
    if (this.order === "doubt") {
      listed.sort((a, b) => b.doubt - a.doubt || a.onset - b.onset);
    }
    return listed;
  }

  /** The next item of the queue, after `target`; of those undecided alone, or of all. */
  next(target, sign, undecided) {
    const { queue } = this;
    const at = queue.findIndex((one) => one.target === target);
    const start = at < 0 && sign < 0 ? 0 : at;
    for (let step = 1; step <= queue.length; step += 1) {
      const one = queue[(((start + sign * step) % queue.length) + queue.length) % queue.length];
      if (!undecided || (!one.verdict && one.target !== target)) return one;
    }
    return undefined;
  }

  get progress() {
    const counted = this.queue;
    return { done: counted.filter((one) => one.verdict).length, all: counted.length };
  }

  /** An action as the server takes it, with all ends as they are now. */
  action(kind, item, changes = {}) {
    const ends = Object.fromEntries(ENDS.map((end) => [end, changes[end] ?? item[end]]));
    return { kind, target: item.target, ...ends, ...changes };
  }

  /** Shows an action before the server has answered. */
  apply(action) {
    const decisions = { ...this.state.decisions };
    let { ranges } = this.state;
    if (action.kind === "remove") {
      delete decisions[action.target];
      ranges = ranges.filter((one) => one.target !== action.target);
    } else if (action.kind === "exclude") {
      ranges = [...ranges, { target: action.target, onset: action.onset, offset: action.offset }];
    } else {
      const now = { ...(decisions[action.target] || { verdict: "", added: false }) };
      const { kind, target, event_kind: eventKind, ...said } = action;
      Object.assign(now, said);
      if (eventKind) now.kind = eventKind;
      if (VERDICTS.includes(kind)) now.verdict = kind;
      if (kind === "undecided") now.verdict = "";
      if (kind === "add") Object.assign(now, { added: true, verdict: "accept" });
      decisions[target] = now;
    }
    this.take({ ...this.state, decisions, ranges });
  }

  #merge() {
    const { decisions } = this.state;
    const found = [...this.video.events, ...this.video.candidates];
    const known = new Set(found.map((one) => one.target));
    const merged = found.map((one) => overlay(
      { ...one, found: one, name: one.reason ? `c${one.number}` : `${one.number}` },
      decisions[one.target],
    ));
    const added = Object.keys(decisions).filter((target) => !known.has(target));
    added.forEach((target, index) => {
      merged.push(overlay({
        target, name: `+${index + 1}`, kind: "micro", face: 0, lanes: [], regions: [], flags: [],
        reason: "", label: "", units: [], doubt: 0, expression: true, reading: null, found: null,
      }, decisions[target]));
    });
    this.merged = merged.sort((a, b) => a.onset - b.onset || a.offset - b.offset);
  }
}

function overlay(item, decision) {
  const one = { verdict: "", added: false, note: "", confidence: null, ...item };
  for (const [name, value] of Object.entries(decision || {})) {
    if (value !== null && value !== undefined) one[name] = value;
  }
  one.apex ??= one.onset;
  return one;
}

/** Moves one end of an event and keeps onset <= apex <= offset within the video. */
export function moveEnd(item, end, frame, count) {
  const ends = { onset: item.onset, apex: item.apex, offset: item.offset };
  const to = Math.max(0, Math.min(count - 1, frame));
  if (end === "onset") ends.onset = Math.min(to, ends.offset);
  if (end === "offset") ends.offset = Math.max(to, ends.onset);
  if (end === "apex") ends.apex = to;
  ends.apex = Math.max(ends.onset, Math.min(ends.offset, ends.apex));
  return ends;
}

/** Where a movement is large: an event that was just added has no apex yet. */
export function peakOf(item) {
  return item.apex > item.onset ? item.apex : item.offset;
}

/** "L12C" as its parts, and back. */
export function parseUnit(code) {
  const match = /^([LR]?)(\d{1,2})([A-E]?)$/.exec(code);
  return match && { side: match[1], number: match[2], intensity: match[3] };
}

export function unitCode({ side, number, intensity }) {
  return `${side}${number}${intensity}`;
}
