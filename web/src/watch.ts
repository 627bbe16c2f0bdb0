// The watch page: the player, and below it what there is to know about the stream. `bare` leaves the player alone.

import { LitElement, html, nothing, type TemplateResult } from "lit";
import type { Rendition, Stream } from "./api";
import { bitRate, duration, pictureName, viewers } from "./format";
import { header } from "./header";
import { pauseWords } from "./pauses";
import "./player";
import type { Word } from "./state";

export class SluiceWatch extends LitElement {
  static override properties = { name: { type: String } };
  declare name: string;

  #stream: Stream | null = null;
  #word: Word = "unknown";
  #copied = "";

  constructor() {
    super();
    this.name = "";
  }

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  protected override render(): TemplateResult {
    return html`
      ${header()}
      <main class="watch">
        <sluice-player name=${this.name} @stream=${(event: CustomEvent) => this.#take(event)}></sluice-player>
        <div class="about">
          <h1>${this.name}</h1>
          ${this.#facts()}
        </div>
        ${this.#details()}
      </main>
    `;
  }

  #take(event: CustomEvent<{ stream: Stream | null; word: Word }>): void {
    this.#stream = event.detail.stream;
    this.#word = event.detail.word;
    this.requestUpdate();
  }

  #facts(): TemplateResult | typeof nothing {
    const stream = this.#stream;
    if (!stream || (this.#word !== "live" && this.#word !== "held")) return nothing;
    return html`<p class="facts">
      <span>On air for ${duration(stream.uptime_seconds)}</span>
      ${stream.viewers > 0 ? html`<span>${viewers(stream.viewers)}</span>` : nothing}
    </p>`;
  }

  #details(): TemplateResult {
    const stream = this.#stream;
    const playlist = `${location.origin}/live/${this.name}/index.m3u8`;
    const frame = `<iframe src="${location.origin}/embed/${this.name}" width="640" height="360" allow="autoplay; fullscreen; picture-in-picture" allowfullscreen></iframe>`;
    return html`
      <details class="panel">
        <summary>Share and embed</summary>
        ${this.#copyable("Page", `${location.origin}/watch/${this.name}`)}
        ${this.#copyable("Playlist, for Safari, VLC, Apple TV", playlist)} ${this.#copyable("Player for your own page", frame)}
      </details>
      ${stream && stream.renditions.length > 0
        ? html`<details class="panel">
            <summary>How this stream is made</summary>
            ${stream.source ? html`<p>Received: ${stream.source}${stream.encoder ? html`, from <q>${stream.encoder}</q>` : nothing}.</p>` : nothing}
            <div class="scroll">
              <table>
                <thead>
                  <tr>
                    <th scope="col">Quality</th>
                    <th scope="col">Picture</th>
                    <th scope="col">Bit rate</th>
                    <th scope="col">Made by</th>
                  </tr>
                </thead>
                <tbody>
                  ${stream.renditions.map(row)}
                </tbody>
              </table>
            </div>
            ${stream.notes.map((note) => html`<p class="note">${note}</p>`)}
          </details>`
        : nothing}
    `;
  }

  #copyable(label: string, text: string): TemplateResult {
    const copy = async () => {
      await navigator.clipboard.writeText(text);
      this.#copied = text;
      this.requestUpdate();
    };
    return html`<label class="copyable">
      <span>${label}</span>
      <span class="line">
        <input readonly .value=${text} @focus=${(event: Event) => (event.target as HTMLInputElement).select()} />
        ${"clipboard" in navigator
          ? html`<button type="button" @click=${copy}>${this.#copied === text ? "Copied" : "Copy"}</button>`
          : nothing}
      </span>
    </label>`;
  }
}

function row(rendition: Rendition, _: number, all: Rendition[]): TemplateResult {
  const paused = pauseWords(rendition, all);
  const size = rendition.width && rendition.height ? `${rendition.width}×${rendition.height}` : "no picture";
  const rate = rendition.frame_rate ? `, ${Number(rendition.frame_rate.toFixed(2))} fps` : "";
  const bps = rendition.measured_average_bps ?? rendition.declared_bps;
  const made = rendition.made === "copy" ? "Copied" : rendition.made === "encode" ? "Encoded" : "";
  return html`<tr>
    <th scope="row">${pictureName({ width: rendition.width, height: rendition.height, frameRate: rendition.frame_rate })}</th>
    <td>${size}${rate}</td>
    <td>${bps ? bitRate(bps) : ""}</td>
    <td>${paused ? html`<strong>${paused}</strong>. ` : nothing}${made}${rendition.reason ? html`<span class="reason">${made ? ": " : ""}${rendition.reason}</span>` : nothing}</td>
  </tr>`;
}

customElements.define("sluice-watch", SluiceWatch);
