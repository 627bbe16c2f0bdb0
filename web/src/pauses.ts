// Which renditions the server does not make at the moment, and where their viewers go. A busy server sheds rungs; the list of
// one that nothing stands in for goes on with gaps. hls.js leaves such a list at the first gap, but not for a level above what
// it has capped to the player's size, and not for good: so the choice is made here. Pure: time is an argument.

import type { Rendition } from "./api";
import { pictureName } from "./format";

/** So many gaps at the end of a list: a single one, of a damaged group of pictures, is played over. */
const GAPS = 2;
/** A list that ended in gaps is looked at again after this time. */
export const LOOK_AGAIN_MS = 15_000;

/** As much of a level as the choice needs. */
export interface Rung {
  /** The rendition's id on the server. */
  id: string;
  bps: number;
}

/** The rendition that a playlist's address means: `/live/NAME/SESSION/RENDITION/index.m3u8`. */
export function renditionOf(url: string): string {
  const path = url.split(/[?#]/, 1)[0] ?? "";
  return decodeURIComponent(path.split("/").at(-2) ?? "");
}

/** Whether nothing but gaps stand at the end of a list. */
export function endsInGaps(segments: readonly { gap?: boolean }[]): boolean {
  return segments.length > 0 && segments.slice(-GAPS).every((segment) => segment.gap === true);
}

/** The rendition whose pictures an address shows while the server is too busy for its own; null for its own, or for none. */
export function standIn(rendition: Rendition, all: readonly Rendition[]): Rendition | null {
  if (rendition.state !== "shed") return null;
  return all.find((other) => other.id === rendition.substitute) ?? null;
}

/** What the menu says of a rendition that is not made at the moment; null of one that is. */
export function pauseWords(rendition: Rendition, all: readonly Rendition[]): string | null {
  if (rendition.state !== "shed") return null;
  const other = standIn(rendition, all);
  if (!other) return "paused: server busy";
  return `${pictureName({ width: other.width, height: other.height, frameRate: other.frame_rate })} for now: server busy`;
}

/** What is known of the renditions of one stream. */
export class Pauses {
  /** When each one's list was last seen to end in gaps. */
  #empty = new Map<string, number>();
  /** Those that the server says it does not make, with nothing in their place. */
  #told = new Set<string>();

  /** A list was loaded. */
  saw(id: string, segments: readonly { gap?: boolean }[], now: number): void {
    if (endsInGaps(segments)) this.#empty.set(id, now);
    else this.#empty.delete(id);
  }

  /** The server's word. */
  told(renditions: readonly Rendition[]): void {
    const paused = renditions.filter((one) => one.state === "shed" && !standIn(one, renditions));
    this.#told = new Set(paused.map((one) => one.id));
  }

  /** Other lists come. The server's word stays until its next. */
  forget(): void {
    this.#empty.clear();
  }

  has(id: string, now: number): boolean {
    const seen = this.#empty.get(id);
    return this.#told.has(id) || (seen !== undefined && now - seen < LOOK_AGAIN_MS);
  }

  /**
   * The level to play when `wanted` would be: itself; if it is paused the next smaller one that is not, since a slower line
   * carries that too, else the next larger one. Where all are paused, as while the streamer is away, `wanted`.
   */
  detour(wanted: number, levels: readonly Rung[], now: number): number {
    const level = levels[wanted];
    if (!level || !this.has(level.id, now)) return wanted;
    const open = levels.map((rung, index) => ({ ...rung, index })).filter((rung) => !this.has(rung.id, now));
    const smaller = open.filter((rung) => rung.bps <= level.bps).sort((a, b) => b.bps - a.bps);
    const larger = open.filter((rung) => rung.bps > level.bps).sort((a, b) => a.bps - b.bps);
    return (smaller[0] ?? larger[0])?.index ?? wanted;
  }
}
