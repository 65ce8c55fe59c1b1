// The video's sound, in step with the frames while they play at their own speed.

import { ask } from "./api.js";

const OFF_S = 0.12; // further from the frame than this, the sound jumps to it

export class Sound {
  constructor() {
    this.audio = new Audio();
    this.on = false;
  }

  /** Turns it on or off; the first time the whole track is fetched. */
  async toggle(number) {
    this.on = !this.on;
    if (!this.on) this.stop();
    if (this.on && this.number !== number) {
      const track = await ask(`/api/video/${number}/sound`);
      this.#drop();
      this.audio.src = URL.createObjectURL(await track.blob());
      this.number = number;
    }
    return this.on;
  }

  /** Called with the time of every frame that is shown. */
  follow(time, playing) {
    if (!this.on) return;
    if (!playing || time > (this.audio.duration || Infinity)) {
      this.stop();
      return;
    }
    if (Math.abs(this.audio.currentTime - time) > OFF_S) this.audio.currentTime = time;
    if (this.audio.paused) this.audio.play().catch(() => this.stop()); // the browser forbids it
  }

  stop() {
    this.audio.pause();
  }

  close() {
    this.stop();
    this.on = false;
    this.#drop();
  }

  #drop() {
    if (this.audio.src) URL.revokeObjectURL(this.audio.src);
    this.audio.removeAttribute("src");
    this.number = undefined;
  }
}
