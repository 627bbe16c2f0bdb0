// The storyboard: which tile of which sheet shows a moment. Its cues count from a date that its head tells; the playlist gives
// every position of the player a date, too, so that the two meet however late a viewer came.

export interface Tile {
  /** Milliseconds since 1970. */
  from: number;
  to: number;
  url: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The tiles in rising order; what cannot be read is left out. `base` is the text's own address. Pure. */
export function parse(text: string, base: string): Tile[] {
  const [head = "", ...blocks] = text.replace(/\r\n?/g, "\n").split(/\n{2,}/);
  const epoch = Date.parse(/^X-PROGRAM-DATE-TIME=(.+)$/m.exec(head)?.[1] ?? "");
  if (!head.startsWith("WEBVTT") || !Number.isFinite(epoch)) return [];
  const tiles: Tile[] = [];
  for (const block of blocks) {
    const [times = "", target = ""] = block.trim().split("\n");
    const [from, to] = times.split(" --> ").map(clock);
    const place = /^(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)$/.exec(target);
    if (from === undefined || to === undefined || Number.isNaN(from) || Number.isNaN(to) || !place) continue;
    const [x, y, width, height] = place.slice(2).map(Number) as [number, number, number, number];
    tiles.push({ from: epoch + from, to: epoch + to, url: new URL(place[1] as string, base).href, x, y, width, height });
  }
  return tiles;
}

/** The tile that shows a moment, or null where none does. Pure. */
export function tileAt(tiles: readonly Tile[], millis: number): Tile | null {
  return tiles.find((tile) => tile.from <= millis && millis < tile.to) ?? null;
}

/** "00:01:02.345" in milliseconds. */
function clock(text: string): number {
  const parts = /^(\d+):(\d\d):(\d\d)\.(\d{3})$/.exec(text.trim());
  if (!parts) return Number.NaN;
  const [hours, minutes, seconds, millis] = parts.slice(1).map(Number) as [number, number, number, number];
  return ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis;
}
