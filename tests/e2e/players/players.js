// Each player behind the same few words: start, levels, level, live edge. Runs in the page.
const script = (src) =>
  new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement("script"), { src, onload: resolve, onerror: () => reject(new Error(`cannot load ${src}`)) });
    document.head.append(element);
  });

const video = document.querySelector("#video");
/** What the player itself complained about. */
const errors = [];
const levels = [];
const switched = (height) => {
  if (height && levels.at(-1)?.[1] !== height) levels.push([Math.round(performance.now()) / 1000, height]);
};
video.addEventListener("resize", () => switched(video.videoHeight));

const makers = {
  async hlsjs(url, options) {
    await script("/modules/hls.js/dist/hls.min.js");
    if (!Hls.isSupported()) throw new Error("no MediaSource");
    const hls = new Hls({ lowLatencyMode: options.lowLatency, liveSyncMode: "edge", ...options.config });
    hls.on(Hls.Events.ERROR, (_, data) => errors.push({ fatal: data.fatal, what: data.details, text: String(data.error?.message ?? data.reason ?? "") }));
    hls.loadSource(url);
    hls.attachMedia(video);
    return {
      version: Hls.version,
      latency: () => hls.latency,
      target: () => hls.targetLatency,
      heights: () => hls.levels.map((level) => level.height),
      pick: (height) => (hls.nextLevel = height === null ? -1 : hls.levels.findIndex((level) => level.height === height)),
      live: () => (video.currentTime = hls.liveSyncPosition ?? video.currentTime),
    };
  },

  async videojs(url, options) {
    await script("/modules/video.js/dist/video.min.js");
    const player = videojs(video, { html5: { vhs: { overrideNative: true, llhls: options.lowLatency, withCredentials: false } }, liveui: true, muted: true });
    player.on("error", () => errors.push({ fatal: true, what: String(player.error()?.code), text: player.error()?.message ?? "" }));
    player.src({ src: url, type: "application/x-mpegURL" });
    const own = () => player.tech({ IWillNotUseThisInPlugins: true }).vhs;
    return {
      version: videojs.VERSION,
      latency: () => null,
      target: () => null,
      heights: () => own().representations().map((one) => one.height),
      pick: (height) => own().representations().forEach((one) => one.enabled(height === null || one.height === height)),
      live: () => player.liveTracker.seekToLiveEdge(),
    };
  },

  async shaka(url, options) {
    await script("/modules/shaka-player/dist/shaka-player.compiled.js");
    shaka.polyfill.installAll();
    const player = new shaka.Player();
    await player.attach(video);
    const complain = (error) => errors.push({ fatal: error.severity === 2, what: `${error.category}.${error.code}`, text: JSON.stringify(error.data ?? "").slice(0, 300) });
    player.addEventListener("error", (event) => complain(event.detail));
    player.configure({ streaming: { lowLatencyMode: options.lowLatency, failureCallback: (error) => complain(error) }, ...options.config });
    await player.load(url);
    return {
      version: shaka.Player.version,
      latency: () => player.getStats().liveLatency,
      target: () => null,
      heights: () => [...new Set(player.getVariantTracks().map((track) => track.height))],
      pick: (height) => {
        player.configure({ abr: { enabled: height === null } });
        if (height !== null) player.selectVariantTrack(player.getVariantTracks().find((track) => track.height === height), true);
      },
      live: () => player.goToLive(),
    };
  },

  async dashjs(url, options) {
    await script("/modules/dashjs/dist/modern/umd/dash.all.min.js");
    const player = dashjs.MediaPlayer().create();
    player.on("error", (event) => errors.push({ fatal: true, what: String(event.error?.code ?? event.error), text: event.error?.message ?? "" }));
    player.on("playbackError", (event) => errors.push({ fatal: true, what: "playback", text: String(event.error?.message ?? event.error) }));
    player.initialize(video, url, false);
    if (options.config) player.updateSettings(options.config);
    const heights = () => player.getRepresentationsByType("video").map((one) => one.height);
    return {
      version: player.getVersion(),
      latency: () => player.getCurrentLiveLatency(),
      target: () => player.getTargetLiveDelay(),
      heights,
      pick: (height) => {
        player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: height === null } } } });
        if (height !== null) player.setRepresentationForTypeByIndex("video", heights().indexOf(height));
      },
      live: () => player.seekToOriginalLive?.(),
    };
  },
};

/** When the picture stood still although it should have moved, since the first picture. */
const stalls = [];
let first = null;
let watching = true;
{
  let [moved, at] = [performance.now(), 0];
  setInterval(() => {
    const [now, time] = [performance.now(), video.currentTime];
    if (first === null) {
      if (time > at && video.readyState > 2) first = now;
      [moved, at] = [now, time];
    } else if (Math.abs(time - at) > 0.001 || video.paused || video.seeking || !watching) {
      if (now - moved > 300 && watching && !video.seeking) stalls.push([Math.round(moved) / 1000, Math.round(now - moved) / 1000]);
      [moved, at] = [now, time];
    }
  }, 20);
}

window.stage = {
  async start(kind, url, options) {
    const started = performance.now();
    window.player = await makers[kind](url, options);
    await video.play().catch((error) => errors.push({ fatal: true, what: "play", text: String(error) }));
    return { version: player.version, started };
  },
  watch: (on) => (watching = on),
  report() {
    const quality = video.getVideoPlaybackQuality();
    const ranges = (list) => Array.from({ length: list.length }, (_, i) => [list.start(i), list.end(i)]);
    return {
      first: first === null ? null : first / 1000,
      now: performance.now() / 1000,
      time: video.currentTime,
      duration: video.duration,
      ended: video.ended,
      rate: video.playbackRate,
      stalls,
      errors,
      levels,
      size: [video.videoWidth, video.videoHeight],
      frames: quality.totalVideoFrames,
      dropped: quality.droppedVideoFrames,
      buffered: ranges(video.buffered),
      seekable: ranges(video.seekable),
      latency: window.player?.latency() ?? null,
      target: window.player?.target() ?? null,
    };
  },
  seek(to) {
    return new Promise((resolve) => {
      const asked = performance.now();
      const done = () => {
        if (Math.abs(video.currentTime - to) < 3 && !video.seeking) {
          const moving = video.currentTime;
          const check = setInterval(() => {
            if (video.currentTime > moving + 0.2) {
              clearInterval(check);
              resolve({ took: Math.round(performance.now() - asked) / 1000, time: video.currentTime });
            } else if (performance.now() - asked > 20000) {
              clearInterval(check);
              resolve({ took: null, time: video.currentTime });
            }
          }, 20);
        }
      };
      video.addEventListener("seeked", done, { once: true });
      video.currentTime = to;
    });
  },
  /** The burnt-in clock (48 bits and a check, cells of an eightieth of the width): milliseconds behind, each picture. */
  clock(seconds) {
    return new Promise((resolve) => {
      const [CELL, BITS] = [8, 48];
      const canvas = Object.assign(document.createElement("canvas"), { width: 80 * CELL, height: CELL });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      const behind = [];
      let unread = 0;
      const until = performance.now() + seconds * 1000;
      const look = () => {
        const now = Date.now();
        context.drawImage(video, 0, 0, video.videoWidth, video.videoWidth / 80, 0, 0, canvas.width, canvas.height);
        const { data } = context.getImageData(0, CELL / 2, canvas.width, 1);
        const white = (cell) => {
          const at = 4 * (cell * CELL + CELL / 2);
          return 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2] > 128;
        };
        const sound = [true, false, true, false].every((want, i) => white(BITS + i) === want);
        let stamp = 0;
        for (let bit = BITS - 1; bit >= 0; bit--) stamp = stamp * 2 + (white(bit) ? 1 : 0);
        if (sound && Math.abs(now - stamp) < 600000) behind.push(now - stamp);
        else unread += 1;
        if (performance.now() < until) video.requestVideoFrameCallback(look);
      };
      video.requestVideoFrameCallback(look);
      // Pictures may stop: the time is up all the same.
      setTimeout(() => {
        behind.sort((a, b) => a - b);
        const at = (share) => behind[Math.min(behind.length - 1, Math.floor(behind.length * share))];
        resolve({ samples: behind.length, unread, p50: at(0.5), p95: at(0.95), min: behind[0], max: behind.at(-1) });
      }, seconds * 1000 + 200);
    });
  },
};
