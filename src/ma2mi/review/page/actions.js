// What each action of the keys and buttons does.

/** Name to function, but for the ends of an event and classes, which follow a pattern. */
export function actionsOf(review) {
  const panel = document.getElementById("panel");
  return {
    forward: () => review.step(1),
    back: () => review.step(-1),
    forward5: () => review.step(5),
    back5: () => review.step(-5),
    first: () => review.step(-review.player.frame),
    last: () => review.step(review.times.length),
    play: () => review.play("play"),
    loop: () => review.play("loop"),
    blink: () => review.play("blink"),
    faster: () => review.changeSpeed(1),
    slower: () => review.changeSpeed(-1),
    face: () => review.toggleView("face"),
    flow: () => review.toggleView("flow"),
    magnified: () => review.toggleView("magnified"),
    sound: () => review.toggleSound(),
    next: () => review.go(1, true),
    previous: () => review.go(-1, true),
    nextAny: () => review.go(1, false),
    previousAny: () => review.go(-1, false),
    order: () => review.changeOrder(),
    below: () => review.changeBelow(),
    accept: () => review.decide("accept"),
    reject: () => review.decide("reject"),
    unsure: () => review.decide("unsure"),
    undecided: () => review.decide("undecided"),
    kind: () => {
      const { item, video } = review;
      if (item) review.edit({ event_kind: after(video.kinds, item.kind) });
    },
    confidence: () => {
      const { item } = review;
      if (item) review.edit({ confidence: ((item.confidence || 0) % 5) + 1 });
    },
    units: () => panel.querySelector("[data-field=units]")?.focus(),
    note: () => panel.querySelector("[data-field=note]")?.focus(),
    panel: () => panel.querySelector("button")?.focus(),
    add: () => review.add(),
    exclude: () => review.exclude(),
    remove: () => review.remove(),
    undo: () => review.queue.add(`${review.path}/undo`, {}),
    zoomIn: () => review.timeline.zoom(1.5),
    zoomOut: () => review.timeline.zoom(1 / 1.5),
    zoomAll: () => review.timeline.zoomAll(),
    help: () => review.dialog.open(),
  };
}

/** The value after another in a list, the first one after the last. */
function after(list, value) {
  return list[(list.indexOf(value) + 1) % list.length];
}
