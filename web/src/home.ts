// The first page: what is live now, or how to go live.

import { LitElement, html, nothing, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";
import { listStreams, type Stream, type StreamList, type StreamState } from "./api";
import { bestPicture, duration, publishAddress, viewers } from "./format";
import { header } from "./header";
import * as icons from "./icons";

const REFRESH_MS = 4000;

const WORDS: Record<StreamState, { badge: string; text: string }> = {
  live: { badge: "live", text: "LIVE" },
  starting: { badge: "starting", text: "STARTING" },
  held: { badge: "reconnecting", text: "RECONNECTING" },
  ended: { badge: "ended", text: "ENDED" },
};
const ORDER: StreamState[] = ["live", "held", "starting", "ended"];

export class SluiceHome extends LitElement {
  #list: StreamList | null = null;
  #unreachable = false;
  #timer: number | undefined;
  #gone = new AbortController();

  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#gone = new AbortController();
    document.addEventListener("visibilitychange", () => document.hidden || void this.#refresh(), { signal: this.#gone.signal });
    void this.#refresh();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#gone.abort();
    window.clearTimeout(this.#timer);
  }

  protected override render(): TemplateResult {
    const list = this.#list;
    return html`
      ${header()}
      <main class="home">
        ${this.#unreachable ? html`<p class="warning" role="status">The server cannot be reached. Trying again…</p>` : nothing}
        ${list === null ? (this.#unreachable ? nothing : html`<div class="spinner" aria-label="Loading"></div>`) : this.#streams(list)}
      </main>
    `;
  }

  #streams(list: StreamList): TemplateResult {
    if (list.streams.length === 0) return this.#nobody(list);
    const streams = [...list.streams].sort(
      (a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || a.name.localeCompare(b.name),
    );
    return html`
      <h1>Streams</h1>
      <ul class="cards">
        ${repeat(streams, (stream) => stream.name, card)}
      </ul>
    `;
  }

  #nobody(list: StreamList): TemplateResult {
    const server = publishAddress(location.hostname, list.publish.rtmp_port, list.publish.app);
    return html`
      <section class="empty" data-testid="empty">
        ${icons.signal}
        <h1>Nobody is live</h1>
        <p>A stream appears here as soon as an encoder publishes to this server.</p>
        <div class="steps panel">
          <p>In OBS, open <b>Settings ▸ Stream</b>, choose <b>Custom…</b> and enter:</p>
          <dl>
            <dt>Server</dt>
            <dd><code data-testid="publish-server">${server}</code></dd>
            <dt>Stream key</dt>
            <dd>The one printed at the first start, or a new one from <code>sluice keys add NAME</code></dd>
          </dl>
          <p>No encoder at hand? <code>sluice demo</code> publishes a test picture.</p>
        </div>
      </section>
    `;
  }

  async #refresh(): Promise<void> {
    window.clearTimeout(this.#timer);
    try {
      this.#list = await listStreams();
      this.#unreachable = false;
    } catch {
      this.#unreachable = true;
    }
    this.requestUpdate();
    if (this.isConnected && !document.hidden) this.#timer = window.setTimeout(() => void this.#refresh(), REFRESH_MS);
  }
}

/** A picture that does not come leaves its place empty, until the next one does. */
const hide = (event: Event) => ((event.target as HTMLElement).hidden = true);
const show = (event: Event) => ((event.target as HTMLElement).hidden = false);

function card(stream: Stream): TemplateResult {
  const words = WORDS[stream.state];
  const picture = bestPicture(stream.renditions);
  const onAir = stream.state === "live" || stream.state === "held";
  return html`<li>
    <a class="card ${stream.state}" data-testid="stream-card" data-name=${stream.name} href="/watch/${stream.name}">
      <span class="still">
        ${stream.thumbnail ? html`<img data-testid="thumbnail" src=${stream.thumbnail} alt="" @error=${hide} @load=${show} />` : nothing}
        ${icons.play}
        <span class="badge ${words.badge}">${words.text}</span>
        ${picture ? html`<span class="chip">${picture}</span>` : nothing}
      </span>
      <span class="text">
        <span class="name">${stream.name}</span>
        <span class="facts">
          ${onAir ? html`<span>${duration(stream.uptime_seconds)}</span>` : nothing}
          ${onAir && stream.viewers > 0 ? html`<span>${viewers(stream.viewers)}</span>` : nothing}
          ${stream.renditions.length > 1 ? html`<span>${stream.renditions.length} qualities</span>` : nothing}
        </span>
      </span>
    </a>
  </li>`;
}

customElements.define("sluice-home", SluiceHome);
