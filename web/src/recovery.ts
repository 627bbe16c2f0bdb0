// What to do about a player's fatal errors, and when to stop trying. Pure: time is an argument.

export type Trouble = "network" | "media" | "other";

export type Remedy =
  | { kind: "reload"; delayMs: number }
  | { kind: "recover-media" }
  | { kind: "rebuild"; delayMs: number }
  | { kind: "give-up" };

const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 8000;
/** About a minute of a network that does not answer. */
const NETWORK_TRIES = 10;
/** recoverMediaError at most so often … */
const MEDIA_TRIES = 3;
/** … within this time. */
const MEDIA_WINDOW_MS = 20_000;
const REBUILDS = 3;

export class Recovery {
  #network = 0;
  #rebuilds = 0;
  #media: number[] = [];

  /** A fatal error at `now`. */
  next(trouble: Trouble, now: number): Remedy {
    if (trouble === "network") {
      if (this.#network >= NETWORK_TRIES) return { kind: "give-up" };
      this.#network += 1;
      return { kind: "reload", delayMs: backoff(this.#network - 1) };
    }
    if (trouble === "media") {
      this.#media = this.#media.filter((at) => now - at < MEDIA_WINDOW_MS);
      if (this.#media.length < MEDIA_TRIES) {
        this.#media.push(now);
        return { kind: "recover-media" };
      }
    }
    if (this.#rebuilds >= REBUILDS) return { kind: "give-up" };
    this.#rebuilds += 1;
    return { kind: "rebuild", delayMs: backoff(this.#rebuilds) };
  }

  /** Media arrived: the network is well. */
  wellAgain(): void {
    this.#network = 0;
  }

  /** A minute of undisturbed playback, or the viewer asks to try again. */
  forget(): void {
    this.#network = 0;
    this.#rebuilds = 0;
    this.#media = [];
  }
}

export function backoff(tries: number): number {
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** tries);
}

/** Where to go when playback stands still though it should not. */
export interface Standstill {
  currentTime: number;
  /** Buffered ranges, in order. */
  buffered: [start: number, end: number][];
  /** Where live playback would be now; null while unknown. */
  livePosition: number | null;
  stalledMs: number;
}

const STALL_PATIENCE_MS = 3000;
/** A jump must gain at least this. */
const LEAST_JUMP_SECONDS = 0.1;

/** A hole (a streamer's absence) is jumped when there is something behind it; else playback jumps to live. */
export function wayOut({ currentTime, buffered, livePosition, stalledMs }: Standstill): number | null {
  if (stalledMs < STALL_PATIENCE_MS) return null;
  if (buffered.some(([start, end]) => start <= currentTime && currentTime < end - 0.5)) return null;
  const next = buffered.find(([start]) => start > currentTime + LEAST_JUMP_SECONDS);
  if (next) return next[0] + 0.05;
  if (livePosition !== null && stalledMs > 2 * STALL_PATIENCE_MS && livePosition > currentTime + 2) return livePosition;
  return null;
}

/**
 * How far from the live edge to play, in seconds. 2.5 segments: one is being played, one is whole in the buffer, and half
 * a segment covers the time between a segment's listing, the next reload of the list, and the download. Measured in
 * segments and not in target durations, because the target only bounds them.
 */
export function liveDistance(segmentSeconds: number | null, targetDuration: number): number {
  const segment = segmentSeconds && segmentSeconds > 0.2 ? segmentSeconds : targetDuration;
  return Math.min(Math.max(2.5 * segment, 3), 30);
}
