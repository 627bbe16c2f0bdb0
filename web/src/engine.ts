// The playing itself: hls.js where Media Source Extensions are there, the browser's own HLS elsewhere (older iPhones).
// It recovers by itself within the bounds of `recovery`, and tells what it sees by `sample`.

import Hls, { AbrController, ErrorDetails, ErrorTypes, Events, type ErrorData, type HlsConfig } from "hls.js";
import workerUrl from "hls.js/dist/hls.worker.js?url";
import type { Rendition } from "./api";
import { pictureName } from "./format";
import { LOOK_AGAIN_MS, Pauses, pauseWords, renditionOf } from "./pauses";
import type { Range } from "./scrub";
import { Recovery, wayOut, type Trouble } from "./recovery";
import type { Playing } from "./state";

export interface Quality {
  /** hls.js's index of the level. */
  index: number;
  height: number;
  label: string;
  bps: number;
  /** Why it is not what its name says at the moment, in words; null when it is. */
  paused: string | null;
}

/** What the viewer's menu shows. */
export interface Qualities {
  all: Quality[];
  /** The index chosen by hand; -1 for automatic. */
  chosen: number;
  /** The index that plays now; -1 while none does. */
  current: number;
}

/** Undisturbed playback after which earlier errors no longer count. */
const WELL_AGAIN_MS = 60_000;
/** Playback at most this much faster, to make up for a stall. Sound keeps its pitch; nobody notices 5 %. */
const CATCH_UP_RATE = 1.05;
/** Most streams of a first visit play at once in a middling quality instead of the lowest. */
const FIRST_GUESS_BPS = 3_000_000;
/** Of the distance to the live edge: what is buffered before playback begins. */
const CUSHION = 0.6;
/** From when a level chosen by hand plays again until it is returned to. */
const RETURN_MS = 3000;
/** The shortest time between two jumps out of a standstill. */
const JUMP_PAUSE_MS = 5000;

/** hls.js's own choice, but never a level that the server has paused; also beyond the cap of the player's size. */
function abrAround(pauses: Pauses): typeof AbrController {
  return class extends AbrController {
    override get nextAutoLevel(): number {
      return this.#around(super.nextAutoLevel);
    }
    override set nextAutoLevel(level: number) {
      super.nextAutoLevel = level;
    }
    override get firstAutoLevel(): number {
      return this.#around(super.firstAutoLevel);
    }
    #around(level: number): number {
      const rungs = this.hls?.levels.map(({ uri, bitrate }) => ({ id: renditionOf(uri), bps: bitrate })) ?? [];
      return pauses.detour(level, rungs, performance.now());
    }
  };
}

interface SafariVideo extends HTMLVideoElement {
  getStartDate?(): Date;
}

export class Engine {
  readonly video: HTMLVideoElement;
  hls: Hls | null = null;
  stalls = 0;

  #changed: () => void;
  #url: string | null = null;
  #distance = 6;
  #recovery = new Recovery();
  #pauses = new Pauses();
  #renditions: readonly Rendition[] = [];
  /** The level chosen by hand, -1 for none; while it is paused hls.js chooses. */
  #chosen = -1;
  /** Since when hls.js chooses although a level was chosen by hand. */
  #leftAt = 0;
  #failure: string | null = null;
  #begun = false;
  #timer: number | undefined;
  #position = -1;
  #movedAt = 0;
  #jumpedAt = 0;
  #troubledAt = 0;
  #starved = false;
  #refilling = false;

  constructor(video: HTMLVideoElement, changed: () => void) {
    this.video = video;
    this.#changed = changed;
    video.addEventListener("playing", () => {
      this.#begun = true;
      this.#changed();
    });
    for (const name of ["play", "pause", "waiting", "ended", "volumechange", "loadeddata", "resize"]) {
      video.addEventListener(name, () => this.#changed());
    }
    video.addEventListener("error", () => this.#nativeError());
  }

  get attached(): boolean {
    return this.#url !== null;
  }

  /** Plays `url`, `distance` seconds from the live edge, in place of whatever was played. */
  attach(url: string, distance: number): void {
    this.detach();
    this.#url = url;
    this.#distance = distance;
    this.#recovery.forget();
    this.#pauses.forget();
    this.#chosen = -1;
    this.#build();
  }

  detach(): void {
    window.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.hls?.destroy();
    this.hls = null;
    if (this.#url !== null && this.video.hasAttribute("src")) {
      this.video.removeAttribute("src");
      this.video.load();
    }
    this.#url = null;
    this.#failure = null;
    this.#begun = false;
    this.#starved = false;
    this.#position = -1;
    this.#changed();
  }

  /** The viewer asks for another try after a failure. */
  retry(): void {
    const url = this.#url;
    if (url !== null) this.attach(url, this.#distance);
  }

  /** Starts playback; without sound where the browser forbids it. `blocked` when it takes a tap of the viewer. */
  async play(): Promise<"playing" | "muted" | "blocked"> {
    try {
      await this.video.play();
      return "playing";
    } catch (error) {
      // Anything but a refusal (an abort by the next load) is settled by the events that follow.
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return "playing";
    }
    if (this.video.muted) return "blocked";
    this.video.muted = true;
    try {
      await this.video.play();
      return "muted";
    } catch {
      // The viewer's tap will allow sound as well.
      this.video.muted = false;
      return "blocked";
    }
  }

  /**
   * Waits, not for long, until enough is buffered to play without an early stall. Nobody notices in a stream that has been
   * running; the first seconds of a new one are a list of a single segment, which would run dry before the next is there.
   */
  async cushion(): Promise<void> {
    const url = this.#url;
    const enough = CUSHION * this.#distance;
    const patience = performance.now() + enough * 1000;
    const ready = () => {
      const over = this.hls?.latestLevelDetails?.live === false;
      return over || this.buffered() >= enough || performance.now() >= patience;
    };
    while (this.hls && this.#url === url && !ready()) await new Promise((done) => window.setTimeout(done, 50));
  }

  goLive(): void {
    const live = this.#livePosition();
    if (live !== null) this.video.currentTime = live;
    void this.play();
  }

  qualities(): Qualities {
    const hls = this.hls;
    if (!hls) return { all: [], chosen: -1, current: -1 };
    const all = hls.levels.map((level, index) => ({
      index,
      height: level.height,
      label: pictureName({ width: level.width, height: level.height, frameRate: level.frameRate }),
      bps: level.averageBitrate || level.bitrate,
      paused: this.#pausedWords(renditionOf(level.uri)),
    }));
    all.sort((a, b) => b.height - a.height || b.bps - a.bps);
    return { all, chosen: this.#chosen, current: hls.currentLevel };
  }

  /** What the server says of the stream's renditions. */
  told(renditions: readonly Rendition[]): void {
    this.#renditions = renditions;
    this.#pauses.told(renditions);
  }

  #pausedWords(id: string): string | null {
    const rendition = this.#renditions.find((one) => one.id === id);
    return rendition ? pauseWords(rendition, this.#renditions) : null;
  }

  /** Switches at the next segment; -1 lets hls.js choose. */
  choose(index: number): void {
    if (!this.hls) return;
    this.#chosen = index;
    this.#leftAt = 0;
    if (index === -1 || this.#isPaused(index)) this.hls.loadLevel = -1;
    else this.hls.nextLevel = index;
    this.#changed();
  }

  #isPaused(index: number): boolean {
    const level = this.hls?.levels[index];
    return level !== undefined && this.#pauses.has(renditionOf(level.uri), performance.now());
  }

  /** A level chosen by hand is left while it is paused, and taken up again afterwards. */
  #steer(): void {
    const hls = this.hls;
    if (!hls || this.#chosen === -1) return;
    const now = performance.now();
    if (this.#isPaused(this.#chosen)) {
      this.#leftAt = now;
      if (!hls.autoLevelEnabled) hls.loadLevel = -1;
    } else if (!hls.autoLevelEnabled) {
      this.#leftAt = 0;
    } else if (this.#leftAt === 0) {
      // hls.js itself leaves a level at a gap: others have to play over it.
      this.#leftAt = now;
    } else if (now - this.#leftAt >= RETURN_MS) {
      hls.loadLevel = this.#chosen;
    }
  }

  /** Seconds between the sender's clock at this picture's arrival and now; null where the list has no dates. */
  latency(now: number): number | null {
    if (!this.#begun) return null;
    const video = this.video as SafariVideo;
    let date: number | undefined;
    if (this.hls) date = this.hls.playingDate?.getTime();
    else if (video.getStartDate) date = video.getStartDate().getTime() + video.currentTime * 1000;
    return date === undefined || !Number.isFinite(date) ? null : (now - date) / 1000;
  }

  /** Seconds of media ahead of the playhead. */
  buffered(): number {
    const { buffered, currentTime } = this.video;
    for (let i = 0; i < buffered.length; i += 1) {
      if (buffered.start(i) <= currentTime + 0.1 && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
    }
    return 0;
  }

  /** What can be watched now, and where the picture is; null while nothing can. */
  range(): Range | null {
    const { seekable, currentTime, duration } = this.video;
    const details = this.hls?.latestLevelDetails;
    if (!this.attached || !this.#begun) return null;
    if (details && details.fragments.length > 0) {
      const start = details.fragments[0]?.start ?? 0;
      return { start, end: details.live ? details.edge : duration, now: currentTime };
    }
    if (seekable.length === 0) return null;
    return { start: seekable.start(0), end: seekable.end(seekable.length - 1), now: currentTime };
  }

  /** The date of a position by the playlist, in milliseconds since 1970; null where it has none. */
  dateAt(position: number): number | null {
    const fragments = this.hls?.latestLevelDetails?.fragments ?? [];
    const within = fragments.find((fragment) => fragment.start <= position && position < fragment.start + fragment.duration);
    if (within?.programDateTime != null) return within.programDateTime + (position - within.start) * 1000;
    const started = (this.video as SafariVideo).getStartDate?.().getTime();
    return started !== undefined && Number.isFinite(started) ? started + position * 1000 : null;
  }

  /** Goes to a position, not beyond the live one: what comes after that is not there yet. */
  seek(position: number): void {
    const live = this.hls && this.hls.latestLevelDetails?.live !== false ? this.#livePosition() : null;
    this.video.currentTime = live === null ? position : Math.min(position, Math.max(live, this.video.currentTime));
  }

  sample(): Playing {
    const live = this.#livePosition();
    return {
      attached: this.attached,
      begun: this.#begun,
      paused: this.video.paused,
      finished: this.video.ended,
      starved: this.#starved,
      behind: live === null ? null : Math.max(0, live - this.video.currentTime),
      failure: this.#failure,
    };
  }

  /** Looks whether playback moves; call it a few times a second. */
  tick(now: number): void {
    this.#steer();
    const video = this.video;
    // A seek into what is not there yet stands still, too.
    const still = this.#begun && !video.paused && !video.ended && video.currentTime === this.#position;
    if (!still) {
      this.#position = video.currentTime;
      this.#movedAt = now;
      if (this.#starved) void this.#refill();
      if (this.#troubledAt > 0 && now - this.#troubledAt > WELL_AGAIN_MS) {
        this.#troubledAt = 0;
        this.#recovery.forget();
      }
      return;
    }
    const stalledMs = now - this.#movedAt;
    if (this.#refilling) return;
    if (stalledMs > 700 && !this.#starved) {
      this.#starved = true;
      this.stalls += 1;
    }
    if (now - this.#jumpedAt < JUMP_PAUSE_MS) return;
    const buffered: [number, number][] = [];
    for (let i = 0; i < video.buffered.length; i += 1) buffered.push([video.buffered.start(i), video.buffered.end(i)]);
    const live = this.#livePosition();
    const livePosition = live !== null && this.#isGap(live) ? null : live;
    const to = wayOut({ currentTime: video.currentTime, buffered, livePosition, stalledMs });
    if (to !== null) {
      this.#jumpedAt = now;
      video.currentTime = to;
    }
  }

  /** After a stall playback stands until the cushion is there again; going on at once would stall again at the next segment. */
  async #refill(): Promise<void> {
    if (this.#refilling) return;
    this.#refilling = true;
    // hls.js, too, knows a rate of 0 from a stall.
    this.video.playbackRate = 0;
    await this.cushion();
    this.video.playbackRate = 1;
    this.#refilling = false;
    this.#starved = false;
    this.#changed();
  }

  #livePosition(): number | null {
    if (this.hls) return this.hls.liveSyncPosition;
    const { seekable, duration } = this.video;
    if (seekable.length === 0 || Number.isFinite(duration)) return null;
    return Math.max(seekable.start(0), seekable.end(seekable.length - 1) - this.#distance);
  }

  #isGap(time: number): boolean {
    const fragments = this.hls?.latestLevelDetails?.fragments ?? [];
    return fragments.some((fragment) => fragment.gap && fragment.start <= time && time < fragment.end);
  }

  #build(): void {
    const url = this.#url;
    if (url === null) return;
    if (Hls.isSupported()) {
      // Before the question for native support: Chromium answers that with "maybe" and then plays nothing.
      const hls = new Hls(this.#config());
      this.hls = hls;
      hls.on(Events.MANIFEST_PARSED, () => this.#started());
      hls.on(Events.FRAG_BUFFERED, () => this.#recovery.wellAgain());
      hls.on(Events.LEVEL_UPDATED, (_, { details, level }) => {
        const uri = hls.levels[level]?.uri;
        if (uri !== undefined) this.#pauses.saw(renditionOf(uri), details.fragments, performance.now());
        this.#steer();
      });
      for (const event of [Events.LEVEL_SWITCHED, Events.LEVELS_UPDATED] as const) hls.on(event, () => this.#changed());
      hls.on(Events.ERROR, (_, data) => this.#error(hls, data));
      hls.loadSource(url);
      hls.attachMedia(this.video);
    } else if (this.video.canPlayType("application/vnd.apple.mpegurl")) {
      this.video.src = url;
      this.#started();
    } else {
      this.#fail("This browser can play neither Media Source Extensions nor HLS. Try a current Firefox, Chrome or Safari.");
    }
    this.#changed();
  }

  #config(): Partial<HlsConfig> {
    return {
      workerPath: workerUrl,
      // Transport stream segments have no parts to be early with.
      lowLatencyMode: false,
      liveSyncDuration: this.#distance,
      maxLiveSyncPlaybackRate: CATCH_UP_RATE,
      liveSyncOnStallIncrease: 0.5,
      capLevelToPlayerSize: true,
      backBufferLength: 30,
      maxBufferLength: 30,
      abrEwmaDefaultEstimate: FIRST_GUESS_BPS,
      abrController: abrAround(this.#pauses),
      // Without it a level that had one gap is never chosen again.
      errorPenaltyExpireMs: LOOK_AGAIN_MS,
    };
  }

  #started(): void {
    // After a rebuild, too; a stream that has come anew may have other levels.
    if (this.hls && !this.hls.levels[this.#chosen]) this.#chosen = -1;
    this.video.dispatchEvent(new CustomEvent("sluice-ready"));
  }

  #error(hls: Hls, data: ErrorData): void {
    if (!data.fatal || hls !== this.hls) return;
    if (data.type === ErrorTypes.NETWORK_ERROR) {
      // A list that was never loaded is not resumed by startLoad: it is asked for again.
      const list = [ErrorDetails.MANIFEST_LOAD_ERROR, ErrorDetails.MANIFEST_LOAD_TIMEOUT, ErrorDetails.MANIFEST_PARSING_ERROR];
      this.#remedy("network", list.includes(data.details) ? "rebuild" : "resume", data.details);
    } else {
      this.#remedy(data.type === ErrorTypes.MEDIA_ERROR ? "media" : "other", "resume", data.details);
    }
  }

  #nativeError(): void {
    // With hls.js attached, its own error event speaks of the same thing.
    if (this.hls || this.#url === null || !this.video.error) return;
    const network = this.video.error.code === MediaError.MEDIA_ERR_NETWORK;
    this.#remedy(network ? "network" : "other", "rebuild", this.video.error.message);
  }

  #remedy(trouble: Trouble, reload: "resume" | "rebuild", details: string): void {
    this.#troubledAt = performance.now();
    const remedy = this.#recovery.next(trouble, performance.now());
    console.info(`playback trouble (${trouble}: ${details}): ${remedy.kind}`);
    window.clearTimeout(this.#timer);
    switch (remedy.kind) {
      case "recover-media":
        this.hls?.recoverMediaError();
        void this.play();
        break;
      case "reload":
        this.#timer = window.setTimeout(() => {
          if (reload === "resume" && this.hls) this.hls.startLoad();
          else this.#rebuild();
        }, remedy.delayMs);
        break;
      case "rebuild":
        this.#timer = window.setTimeout(() => this.#rebuild(), remedy.delayMs);
        break;
      case "give-up":
        this.hls?.stopLoad();
        this.#fail(
          trouble === "network"
            ? "The video does not come through the network."
            : "This browser cannot decode the video, or it arrives damaged.",
        );
        break;
    }
  }

  #rebuild(): void {
    this.hls?.destroy();
    this.hls = null;
    this.#build();
  }

  #fail(words: string): void {
    this.#failure = words;
    this.#changed();
  }
}
