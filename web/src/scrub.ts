// <sluice-scrub>: the time range that can be watched, where in it the picture is, and small pictures of it under the
// pointer. Its player tells it both; it knows no stream.

import { LitElement, html, type TemplateResult } from "lit";
import { agoWords } from "./format";
import { parse, tileAt, type Tile } from "./storyboard";

/** Positions of the media element, in seconds. */
export interface Range {
  start: number;
  end: number;
  now: number;
}

/** A storyboard this young is not asked for again. */
const FRESH_MS = 2000;
/** Sheets kept decoded: those of some ten minutes. */
const SHEETS = 6;

export class SluiceScrub extends LitElement {
  /** Where the tiles are told; null while there are none. */
  storyboard: string | null = null;
  /** The date of a position, in milliseconds since 1970; null where the playlist has none. */
  dateAt: (position: number) => number | null = () => null;

  #range: Range | null = null;
  #hovered: number | null = null;
  #tiles: Tile[] = [];
  #askedAt = -Infinity;
  #sheets = new Map<string, HTMLImageElement>();

  // One stylesheet for the whole page: the Content-Security-Policy allows no other.
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  /** What can be watched now; null while nothing can. */
  set range(range: Range | null) {
    this.#range = range && range.end - range.start > 1 ? range : null;
    this.requestUpdate();
  }

  protected override render(): TemplateResult {
    const range = this.#range;
    const span = range ? range.end - range.start : 0;
    const behind = range ? Math.max(0, range.end - range.now) : 0;
    return html`
      <div class="preview" data-testid="preview" hidden>
        <canvas data-testid="preview-picture"></canvas>
        <span class="ago"></span>
      </div>
      <input
        class="scrub"
        data-testid="scrub"
        type="range"
        min="0"
        step="0.1"
        aria-label="Time"
        aria-valuetext=${agoWords(behind)}
        .max=${String(span)}
        .value=${String(range ? Math.min(span, Math.max(0, range.now - range.start)) : 0)}
        ?disabled=${!range}
        @input=${(event: Event) => this.#seek(Number((event.target as HTMLInputElement).value))}
        @pointermove=${(event: PointerEvent) => this.#hover(event)}
        @pointerleave=${() => this.#leave()}
      />
    `;
  }

  #seek(offset: number): void {
    if (!this.#range) return;
    const position = this.#range.start + offset;
    this.dispatchEvent(new CustomEvent("seek", { detail: { position } }));
  }

  #hover(event: PointerEvent): void {
    const range = this.#range;
    const bar = event.currentTarget as HTMLElement;
    const { left, width } = bar.getBoundingClientRect();
    if (!range || width === 0) return;
    const share = Math.min(1, Math.max(0, (event.clientX - left) / width));
    this.#hovered = range.start + share * (range.end - range.start);
    const preview = this.#preview;
    if (preview) {
      const half = preview.offsetWidth / 2;
      // Through the style object: the page's policy lets no style stand in an attribute.
      preview.style.left = `${Math.min(width - half, Math.max(half, share * width))}px`;
    }
    if (performance.now() - this.#askedAt > FRESH_MS) void this.#ask();
    this.#draw();
  }

  #leave(): void {
    this.#hovered = null;
    this.#draw();
  }

  get #preview(): HTMLElement | null {
    return this.querySelector(".preview");
  }

  async #ask(): Promise<void> {
    const url = this.storyboard;
    if (url === null) {
      this.#tiles = [];
      return;
    }
    this.#askedAt = performance.now();
    try {
      const response = await fetch(url);
      if (!response.ok) return;
      this.#tiles = parse(await response.text(), new URL(url, location.href).href);
      this.#draw();
    } catch {
      // The next movement asks again.
    }
  }

  /** Shows the tile under the pointer; without one, the time alone. */
  #draw(): void {
    const preview = this.#preview;
    const canvas = preview?.querySelector("canvas");
    const range = this.#range;
    if (!preview || !canvas) return;
    preview.hidden = this.#hovered === null || !range;
    if (this.#hovered === null || !range) return;
    const words = preview.querySelector(".ago");
    if (words) words.textContent = agoWords(range.end - this.#hovered);
    const date = this.dateAt(this.#hovered);
    const tile = date === null ? null : tileAt(this.#tiles, date);
    canvas.hidden = tile === null;
    preview.dataset.tile = tile ? String(tile.from) : "";
    if (!tile) return;
    const sheet = this.#sheet(tile.url);
    if (!sheet.complete || sheet.naturalWidth === 0) return; // drawn when it is there
    if (canvas.width !== tile.width || canvas.height !== tile.height) [canvas.width, canvas.height] = [tile.width, tile.height];
    canvas.getContext("2d")?.drawImage(sheet, tile.x, tile.y, tile.width, tile.height, 0, 0, tile.width, tile.height);
    preview.dataset.drawn = String(tile.from);
  }

  #sheet(url: string): HTMLImageElement {
    const known = this.#sheets.get(url);
    if (known) return known;
    const image = new Image();
    image.addEventListener("load", () => this.#draw());
    image.addEventListener("error", () => this.#sheets.delete(url));
    image.src = url;
    this.#sheets.set(url, image);
    const oldest = this.#sheets.keys().next().value;
    if (this.#sheets.size > SHEETS && oldest !== undefined) this.#sheets.delete(oldest);
    return image;
  }
}

customElements.define("sluice-scrub", SluiceScrub);
