// The list of events beside the video, and what is known of the recording.

import { make } from "./panel.js";

export const VERDICTS = { accept: "accepted", reject: "rejected", unsure: "unsure", "": "" };

/** One button an event; the present one is scrolled into view within the list alone. */
export function listEvents(root, events, target, times, onSelect) {
  const rows = events.map((one) => make("li", {}, make("button", {
    type: "button", "aria-current": one.target === target && "true",
    onclick: () => onSelect(one.target),
  },
  make("span", { text: one.name }),
  make("span", { text: `${one.kind}, ${times[one.onset]?.toFixed(2)} s` +
    (one.label ? `, ${one.label}` : "") }),
  make("span", { class: one.verdict, text: VERDICTS[one.verdict] }))));
  root.replaceChildren(...(rows.length ? rows : [make("li", { class: "empty", text: "none" })]));
  const current = root.querySelector("[aria-current]")?.parentElement;
  if (!current) return;
  const [top, bottom] = [current.offsetTop, current.offsetTop + current.offsetHeight];
  if (top < root.scrollTop) root.scrollTop = top;
  if (bottom > root.scrollTop + root.clientHeight) root.scrollTop = bottom - root.clientHeight;
}

/** A video in the list of all, with how far it is reviewed. */
export function videoName(name, done, all) {
  return all ? `${name} (${done} of ${all} decided)` : name;
}

export function showQuality(root, quality) {
  if (!quality) {
    root.replaceChildren(make("p", { text: "Plain coding: there is no analysis." }));
    return;
  }
  root.replaceChildren(
    make("p", { text: `Recording: ${quality.level}` }),
    make("ul", {}, ...[...quality.reasons, ...quality.notes].map((text) => make("li", { text }))),
  );
}
