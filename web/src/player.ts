// <sluice-player name="show">: a stream's picture, its state, and the controls. It keeps asking the server about the stream,
// begins by itself when the stream does, and goes on by itself when the streamer comes back.
//
//   server's word ──┐
//   Engine.sample ──┴─▶ state.view ─▶ badge, overlay, "go live"

import { LitElement, html, nothing, type TemplateResult } from "lit";
import { findStream, playlistIsThere, type Finding, type Stream } from "./api";
import { Engine, type Quality } from "./engine";
import { bitRate, latency as latencyWords } from "./format";
import * as icons from "./icons";
import { liveDistance } from "./recovery";
import { SluiceScrub } from "./scrub";
import { pollDelayMs, view, type View, type Word } from "./state";

const TICK_MS = 250;
/** The least time between two redraws for the sake of the clock alone. */
const REDRAW_MS = 500;
const HIDE_CONTROLS_MS = 3000;
const VOLUME_KEY = "sluice-volume";

interface FullscreenVideo extends HTMLVideoElement {
  webkitEnterFullscreen?(): void;
}

/** For tests and for questions in bug reports; nothing of the page depends on it. */
interface Diagnostics {
  hls: Engine["hls"];
  video: HTMLVideoElement;
  stats(): Record<string, unknown>;
}

declare global {
  interface Window {
    __sluice?: Diagnostics;
  }
}

export class SluicePlayer extends LitElement {
  static override properties = { name: { type: String } };
  declare name: string;

  #engine: Engine | null = null;
  #word: Word = "unknown";
  #stream: Stream | null = null;
  #clockOffsetMs = 0;
  /** The broadcast that is attached. */
  #session: string | null = null;
  #needsTap = false;
  #silenced = false;
  #menu = false;
  #idle = false;
  #view: View = { badge: "CONNECTING", overlay: null, canGoLive: false };
  #timers: number[] = [];
  #pollTimer: number | undefined;
  #hideTimer: number | undefined;
  #polling = false;
  #drawnAt = 0;
  /** Kept as it was when the page came: what is shown before the picture need not be renewed. */
  #poster: string | null = null;
  #gone = new AbortController();

  constructor() {
    super();
    this.name = "";
  }

  // One stylesheet for the whole page: the Content-Security-Policy allows no other.
  protected override createRenderRoot(): HTMLElement {
    return this;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#gone = new AbortController();
    const signal = this.#gone.signal;
    this.#timers.push(window.setInterval(() => this.#tick(), TICK_MS));
    document.addEventListener("fullscreenchange", () => this.requestUpdate(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.#poll(), { signal });
    window.addEventListener("online", () => this.#poll(), { signal });
    document.addEventListener("keydown", (event) => this.#key(event), { signal });
    document.addEventListener(
      "pointerdown",
      (event) => {
        if (this.#menu && !(event.target as Element).closest(".quality")) this.#openMenu(false);
      },
      { signal },
    );
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#gone.abort();
    this.#timers.forEach((timer) => window.clearInterval(timer));
    this.#timers = [];
    window.clearTimeout(this.#pollTimer);
    window.clearTimeout(this.#hideTimer);
    this.#engine?.detach();
    delete window.__sluice;
  }

  protected override firstUpdated(): void {
    const video = this.querySelector("video");
    if (!video) return;
    const engine = new Engine(video, () => this.#look());
    this.#engine = engine;
    video.addEventListener("sluice-ready", () => void this.#begin());
    video.addEventListener("ended", () => this.#poll());
    video.addEventListener("volumechange", () => {
      if (!video.muted) this.#silenced = false;
      if (!this.#silenced) remember({ volume: video.volume, muted: video.muted });
    });
    const scrub = this.querySelector("sluice-scrub");
    if (scrub instanceof SluiceScrub) scrub.dateAt = (position) => engine.dateAt(position);
    const { volume, muted } = remembered();
    video.volume = volume;
    video.muted = muted;
    window.__sluice = {
      get hls() {
        return engine.hls;
      },
      video,
      stats: () => this.#stats(),
    };
    this.#poll();
  }

  protected override render(): TemplateResult {
    const { badge, overlay, canGoLive } = this.#view;
    const video = this.#engine?.video;
    const paused = video?.paused ?? true;
    const silent = (video?.muted ?? false) || video?.volume === 0;
    const latency = this.#latencyWords();
    const playing = this.#engine?.attached ?? false;
    const hidden = this.#idle && !paused && !this.#menu && !overlay;
    return html`
      <div
        class="player ${hidden ? "idle" : ""} ${overlay && overlay.title ? "covered" : ""}"
        @pointermove=${() => this.#wake()}
        @pointerdown=${() => this.#wake()}
        @focusin=${() => this.#wake()}
        @pointerleave=${() => this.#sleep()}
      >
        <video data-testid="video" playsinline poster=${this.#poster ?? nothing} @click=${() => this.#tap()} @dblclick=${() => this.#fullscreen()}></video>

        <div class="overlay" role="status" aria-live="polite" data-testid="overlay" ?hidden=${!overlay}>
          ${overlay
            ? html`
                ${overlay.spinner ? html`<div class="spinner" aria-label="Loading"></div>` : nothing}
                ${overlay.title ? html`<p class="title">${overlay.title}</p>` : nothing}
                ${overlay.text ? html`<p>${overlay.text}</p>` : nothing}
                ${overlay.action === "retry"
                  ? html`<button class="big" @click=${() => this.#engine?.retry()}>Try again</button>`
                  : nothing}
                ${overlay.action === "replay" && this.#stream
                  ? html`<button class="big" @click=${() => this.#attach()}>Watch the last minutes</button>`
                  : nothing}
              `
            : nothing}
        </div>

        ${this.#needsTap
          ? html`<button class="tap" data-testid="tap-to-play" aria-label="Play" @click=${() => this.#tap()}>${icons.play}</button>`
          : nothing}
        ${this.#silenced && !this.#needsTap
          ? html`<button class="unmute" data-testid="unmute" @click=${() => this.#unmute()}>${icons.muted} Unmute</button>`
          : nothing}

        <div class="top">
          <span class="badge ${badge.toLowerCase()}" data-testid="state" data-state=${badge}>${badge === "BEHIND" ? "BEHIND LIVE" : badge}</span>
          ${canGoLive
            ? html`<button class="golive" data-testid="go-live" @click=${() => this.#engine?.goLive()}>Go live</button>`
            : nothing}
        </div>

        <div class="controls" ?inert=${!playing}>
          <sluice-scrub @seek=${(event: CustomEvent<{ position: number }>) => this.#seek(event.detail.position)}></sluice-scrub>
          <button data-testid="play-button" aria-label=${paused ? "Play" : "Pause"} title=${paused ? "Play (k)" : "Pause (k)"} @click=${() => this.#toggle()}>
            ${paused ? icons.play : icons.pause}
          </button>
          <button data-testid="mute-button" aria-label=${silent ? "Unmute" : "Mute"} title=${silent ? "Unmute (m)" : "Mute (m)"} @click=${() => this.#mute()}>
            ${silent ? icons.muted : icons.sound}
          </button>
          <input
            class="volume"
            type="range"
            min="0"
            max="1"
            step="0.05"
            aria-label="Volume"
            .value=${String(silent ? 0 : (video?.volume ?? 1))}
            @input=${(event: Event) => this.#setVolume(Number((event.target as HTMLInputElement).value))}
          />
          <span class="latency" data-testid="latency" title="Between the picture's arrival at the server and now">
            ${latency ? html`<span class="word">Latency</span> ${latency}` : nothing}
          </span>
          <span class="space"></span>
          ${this.#qualityMenu()}
          ${document.pictureInPictureEnabled
            ? html`<button class="pip" aria-label="Picture in picture" title="Picture in picture" @click=${() => this.#pictureInPicture()}>${icons.inset}</button>`
            : nothing}
          <button
            data-testid="fullscreen-button"
            aria-label=${document.fullscreenElement ? "Leave full screen" : "Full screen"}
            title="Full screen (f)"
            @click=${() => this.#fullscreen()}
          >
            ${document.fullscreenElement ? icons.shrink : icons.expand}
          </button>
        </div>
      </div>
    `;
  }

  #qualityMenu(): TemplateResult | typeof nothing {
    const { all, chosen, current } = this.#engine?.qualities() ?? { all: [], chosen: -1, current: -1 };
    if (all.length === 0) return nothing;
    const now = all.find((quality) => quality.index === current);
    const picked = all.find((quality) => quality.index === chosen);
    const label = picked ? picked.label : now ? `Auto · ${now.label}` : "Auto";
    const item = (testId: string, index: number, name: string, detail: string) => html`
      <button
        role="menuitemradio"
        aria-checked=${chosen === index}
        data-testid=${testId}
        tabindex="-1"
        @click=${() => this.#choose(index)}
      >
        ${icons.check}<span class="name">${name}</span><span class="detail">${detail}</span>
      </button>
    `;
    return html`
      <div class="quality" @keydown=${(event: KeyboardEvent) => this.#menuKey(event)}>
        <button
          data-testid="quality-button"
          aria-haspopup="menu"
          aria-expanded=${this.#menu}
          aria-label="Quality: ${label}"
          title="Quality"
          @click=${() => this.#openMenu(!this.#menu)}
        >
          ${icons.gear}<span class="word" data-testid="quality-current">${label}</span>
        </button>
        <div class="menu" role="menu" aria-label="Quality" ?hidden=${!this.#menu}>
          ${item("quality-item-auto", -1, "Auto", chosen === -1 && now ? now.label : "")}
          ${all.map((quality: Quality) => item(`quality-item-${quality.height}`, quality.index, quality.label, quality.paused ?? bitRate(quality.bps)))}
        </div>
      </div>
    `;
  }

  // --- the stream ---

  #poll(): void {
    window.clearTimeout(this.#pollTimer);
    if (this.#polling) return;
    this.#polling = true;
    void this.#ask().finally(() => {
      this.#polling = false;
      if (!this.isConnected) return;
      const delay = pollDelayMs(this.#word, this.#engine?.sample() ?? { starved: false, finished: false });
      this.#pollTimer = window.setTimeout(() => this.#poll(), document.hidden ? Math.max(delay, 5000) : delay);
    });
  }

  async #ask(): Promise<void> {
    let finding: Finding = await findStream(this.name);
    if (finding.kind === "found" && finding.stream.state === "starting") {
      this.#take(finding);
      // Waiting at the playlist shows the picture sooner than asking again and again.
      if (!(await playlistIsThere(finding.stream.playlist, this.#gone.signal))) return;
      finding = await findStream(this.name);
    }
    this.#take(finding);
  }

  #take(finding: Finding): void {
    if (finding.kind === "found") {
      this.#word = finding.stream.state;
      this.#stream = finding.stream;
      this.#poster ??= finding.stream.poster;
      this.#engine?.told(finding.stream.renditions);
      this.#clockOffsetMs = finding.clockOffsetMs;
    } else {
      this.#word = finding.kind;
      if (finding.kind === "offline") this.#stream = null;
    }
    const playable = this.#word === "live" || this.#word === "held";
    if (playable && this.#stream && this.#stream.session !== this.#session) this.#attach();
    this.#look();
    this.dispatchEvent(new CustomEvent("stream", { detail: { stream: this.#stream, word: this.#word } }));
  }

  #attach(): void {
    const stream = this.#stream;
    if (!stream || !this.#engine) return;
    this.#session = stream.session;
    this.#needsTap = false;
    this.#engine.attach(stream.playlist, liveDistance(stream.segment_seconds, stream.target_duration));
  }

  async #begin(): Promise<void> {
    const session = this.#session;
    await this.#engine?.cushion();
    if (session !== this.#session || !this.isConnected) return;
    const outcome = (await this.#engine?.play()) ?? "playing";
    this.#needsTap = outcome === "blocked";
    this.#silenced ||= outcome === "muted";
    this.#look();
  }

  #tick(): void {
    const engine = this.#engine;
    if (!engine) return;
    const now = performance.now();
    const starved = engine.sample().starved;
    engine.tick(now);
    if (engine.sample().starved && !starved) this.#poll();
    if (engine.attached && now - this.#drawnAt >= REDRAW_MS) this.#look();
  }

  #look(): void {
    if (!this.#engine) return;
    this.#drawnAt = performance.now();
    this.#view = view(this.#word, this.#engine.sample());
    if (this.#needsTap) this.#view = { ...this.#view, overlay: null };
    const scrub = this.querySelector("sluice-scrub");
    if (scrub instanceof SluiceScrub) {
      scrub.storyboard = this.#stream?.storyboard ?? null;
      scrub.range = this.#engine.range();
    }
    this.requestUpdate();
  }

  #latencyWords(): string | null {
    const { badge } = this.#view;
    if (badge !== "LIVE" && badge !== "BEHIND" && badge !== "RECONNECTING") return null;
    return latencyWords(this.#engine?.latency(Date.now() + this.#clockOffsetMs) ?? null);
  }

  #stats(): Record<string, unknown> {
    const engine = this.#engine;
    const video = engine?.video;
    const { all = [], chosen = -1, current = -1 } = engine?.qualities() ?? {};
    const frames = video?.getVideoPlaybackQuality?.();
    return {
      state: this.#view.badge,
      word: this.#word,
      session: this.#session,
      latency: engine?.latency(Date.now() + this.#clockOffsetMs) ?? null,
      behind: engine?.sample().behind ?? null,
      buffered: engine?.buffered() ?? 0,
      stalls: engine?.stalls ?? 0,
      currentTime: video?.currentTime ?? 0,
      paused: video?.paused ?? true,
      width: video?.videoWidth ?? 0,
      height: video?.videoHeight ?? 0,
      frames: frames?.totalVideoFrames ?? 0,
      droppedFrames: frames?.droppedVideoFrames ?? 0,
      levels: all,
      level: current,
      auto: chosen === -1,
      bandwidth: engine?.hls?.bandwidthEstimate ?? null,
    };
  }

  // --- the viewer ---

  #tap(): void {
    if (this.#needsTap) {
      this.#needsTap = false;
      this.#engine?.goLive();
    } else if (matchMedia("(hover: none)").matches) {
      // A finger's tap shows the controls; it is the pointer events that do.
      this.#look();
    } else {
      this.#toggle();
    }
  }

  #toggle(): void {
    const engine = this.#engine;
    if (!engine?.attached) return;
    if (engine.video.paused) void engine.play();
    else engine.video.pause();
  }

  #seek(position: number): void {
    this.#engine?.seek(position);
    this.#wake();
  }

  #unmute(): void {
    const video = this.#engine?.video;
    if (!video) return;
    this.#silenced = false;
    video.muted = false;
    if (video.volume === 0) video.volume = 1;
    void this.#engine?.play();
  }

  #mute(): void {
    const video = this.#engine?.video;
    if (!video) return;
    if (video.muted || video.volume === 0) {
      this.#unmute();
    } else {
      video.muted = true;
    }
  }

  #setVolume(volume: number): void {
    const video = this.#engine?.video;
    if (!video) return;
    this.#silenced = false;
    video.volume = Math.min(1, Math.max(0, volume));
    video.muted = volume <= 0;
  }

  #fullscreen(): void {
    const player = this.querySelector(".player");
    const video = this.#engine?.video as FullscreenVideo | undefined;
    if (document.fullscreenElement) void document.exitFullscreen();
    else if (player?.requestFullscreen) void player.requestFullscreen().catch(() => undefined);
    else video?.webkitEnterFullscreen?.();
  }

  #pictureInPicture(): void {
    if (document.pictureInPictureElement) void document.exitPictureInPicture();
    else void this.#engine?.video.requestPictureInPicture().catch(() => undefined);
  }

  #choose(index: number): void {
    this.#engine?.choose(index);
    this.#openMenu(false);
    this.querySelector<HTMLElement>("[data-testid=quality-button]")?.focus();
  }

  #openMenu(open: boolean): void {
    this.#menu = open;
    this.requestUpdate();
    if (open) {
      void this.updateComplete.then(() => this.querySelector<HTMLElement>('.menu [aria-checked="true"]')?.focus());
    }
  }

  #menuKey(event: KeyboardEvent): void {
    if (!this.#menu) return;
    const items = [...this.querySelectorAll<HTMLElement>(".menu button")];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) {
      items.at(to % items.length)?.focus();
    } else if (event.key === "Escape" || event.key === "Tab") {
      this.#openMenu(false);
      if (event.key === "Escape") this.querySelector<HTMLElement>("[data-testid=quality-button]")?.focus();
      else return;
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  #key(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || this.#menu) return;
    const target = event.target as HTMLElement;
    if (target.closest("input, textarea, select, summary, a")) return;
    const video = this.#engine?.video;
    switch (event.key) {
      case " ":
        // Space on a button presses it.
        if (target.closest("button")) return;
        this.#toggle();
        break;
      case "k":
        this.#toggle();
        break;
      case "m":
        this.#mute();
        break;
      case "f":
        this.#fullscreen();
        break;
      case "l":
        this.#engine?.goLive();
        break;
      case "ArrowUp":
      case "ArrowDown":
        if (!document.fullscreenElement) return;
        this.#setVolume((video?.volume ?? 1) + (event.key === "ArrowUp" ? 0.1 : -0.1));
        break;
      default:
        return;
    }
    event.preventDefault();
    this.#wake();
  }

  #wake(): void {
    window.clearTimeout(this.#hideTimer);
    this.#hideTimer = window.setTimeout(() => this.#sleep(), HIDE_CONTROLS_MS);
    if (!this.#idle) return;
    this.#idle = false;
    this.requestUpdate();
  }

  #sleep(): void {
    this.#idle = true;
    this.requestUpdate();
  }
}

function remembered(): { volume: number; muted: boolean } {
  try {
    const kept = JSON.parse(localStorage.getItem(VOLUME_KEY) ?? "{}") as { volume?: unknown; muted?: unknown };
    const volume = typeof kept.volume === "number" && kept.volume >= 0 && kept.volume <= 1 ? kept.volume : 1;
    return { volume, muted: kept.muted === true };
  } catch {
    return { volume: 1, muted: false };
  }
}

function remember(kept: { volume: number; muted: boolean }): void {
  try {
    localStorage.setItem(VOLUME_KEY, JSON.stringify(kept));
  } catch {
    // Private windows may forbid it; the volume is then asked for anew.
  }
}

customElements.define("sluice-player", SluicePlayer);
