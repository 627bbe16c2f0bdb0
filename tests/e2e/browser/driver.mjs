// A viewer in Debian's Chromium, driven by lines on stdin; each line is answered by one line of JSON on stdout.
//
//   open URL [WIDTHxHEIGHT] [dark] [--touch]   a new page, nothing kept from before
//   playing SECONDS [LIMIT]            waits until the picture has moved on by so much
//   state                              badge, overlay, level, times, what hls.js complained about
//   await BADGE[,BADGE] [LIMIT]        waits for the badge
//   menu [open|close]                  the quality menu; tells its items
//   level HEIGHT|auto [any]            picks a quality and waits until it is shown; any: whatever the size of its pictures
//   clock SAMPLES [LIMIT]              reads the burnt-in clock strip: latency in ms
//   count FRAMES                       requestVideoFrameCallback's distance of shown pictures, ms
//   watchdog [stop]                    follows freezes of the picture and jumps of its time from now on; stop tells them
//   hover SHARE [LIMIT]                puts the pointer over the time range; tells the preview's date and mean grey
//   thumbnail [LIMIT]                  waits for the first card's picture; tells its size and address
//   shot FILE                          a screenshot
//   quit
//
// An answer has "ok"; if it is false, "error" says why.

import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const EXECUTABLE = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
];
const STRIP_BITS = 48;

const browser = await chromium.launch({ executablePath: EXECUTABLE, headless: true, args: FLAGS });
let context = null;
let page = null;
let complaints = [];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Looks until `look` gives a value. */
async function until(what, limit, look) {
  const end = Date.now() + limit * 1000;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== null && value !== false) return value;
    if (Date.now() > end) throw new Error(`waited ${limit} s in vain for ${what}: ${JSON.stringify(await state())}`);
    await sleep(100);
  }
}

/** What the page shows, and what its player says. */
function state() {
  if (!page) return null;
  return page.evaluate(() => {
    const test = (id) => document.querySelector(`[data-testid="${id}"]`);
    const video = document.querySelector("video");
    const hls = window.__sluice?.hls;
    const level = hls?.levels?.[hls.currentLevel];
    const overlay = test("overlay");
    const quality = video?.getVideoPlaybackQuality?.();
    return {
      badge: test("state")?.dataset.state ?? null,
      overlay: overlay && !overlay.hidden ? overlay.textContent.trim().replace(/\s+/g, " ") : null,
      latencyShown: test("latency")?.textContent.trim() ?? null,
      quality: test("quality-current")?.textContent.trim() ?? null,
      time: video?.currentTime ?? null,
      paused: video?.paused ?? null,
      ready: video?.readyState ?? null,
      size: video ? [video.videoWidth, video.videoHeight] : null,
      buffered: video?.buffered.length ? [video.buffered.start(0), video.buffered.end(video.buffered.length - 1)] : null,
      decoded: quality?.totalVideoFrames ?? null,
      dropped: quality?.droppedVideoFrames ?? null,
      level: level?.height ?? null,
      levels: hls?.levels?.map((l) => l.height) ?? null,
      auto: hls?.autoLevelEnabled ?? null,
      hlsLatency: hls?.latency ?? null,
      mediaError: video?.error?.message ?? null,
      stats: window.__sluice?.stats?.() ?? null,
    };
  });
}

/** A small picture of the picture: 16x9 luma values. */
function thumbnail() {
  return page.evaluate(() => {
    const video = document.querySelector("video");
    if (!video?.videoWidth) return null;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [16, 9];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(video, 0, 0, 16, 9);
    const { data } = context.getImageData(0, 0, 16, 9);
    return Array.from({ length: 144 }, (_, i) => Math.round((data[4 * i] + data[4 * i + 1] + data[4 * i + 2]) / 3));
  });
}

const commands = {
  async open([url, ...options]) {
    await context?.close();
    const size = options.find((o) => /^\d+x\d+$/.test(o)) ?? "1280x800";
    const [width, height] = size.split("x").map(Number);
    context = await browser.newContext({
      viewport: { width, height },
      colorScheme: options.includes("dark") ? "dark" : "light",
      hasTouch: options.includes("--touch"),
      isMobile: options.includes("--touch"),
      deviceScaleFactor: options.includes("--touch") ? 2 : 1,
    });
    page = await context.newPage();
    complaints = [];
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(`uncaught: ${error.message}`));
    page.on("response", (response) => {
      if (response.status() >= 400) complaints.push(`${response.status()} ${response.url()}`);
    });
    page.on("requestfailed", (request) => complaints.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
    await page.goto(url, { waitUntil: "domcontentloaded" });
    const supported = await page.evaluate(() => MediaSource.isTypeSupported('video/mp4; codecs="avc1.64001f,mp4a.40.2"'));
    if (!supported) throw new Error("this Chromium has no H.264 with AAC");
    return { title: await page.title() };
  },

  async playing([seconds, limit = "40"]) {
    const begin = await until("a moving picture", Number(limit), async () => {
      const now = await state();
      return now.time > 0 && now.ready >= 2 && !now.paused ? now : null;
    });
    const first = await thumbnail();
    const started = Date.now();
    const end = await until(`${seconds} s more of playback`, Number(limit), async () => {
      const now = await state();
      return now.time >= begin.time + Number(seconds) ? now : null;
    });
    const took = (Date.now() - started) / 1000;
    const changed = await until("other pixels", 5, async () => {
      const now = await thumbnail();
      const off = now.filter((v, i) => Math.abs(v - first[i]) > 8).length;
      return off > 0 ? off : null;
    });
    return { took, changed, ...end, complaints };
  },

  async state() {
    return { ...(await state()), complaints };
  },

  async await([badges, limit = "30"]) {
    const wanted = badges.split(",");
    return until(`badge ${badges}`, Number(limit), async () => {
      const now = await state();
      return wanted.includes(now.badge) ? now : null;
    });
  },

  async menu([what = "open"]) {
    const button = page.locator('[data-testid="quality-button"]');
    const items = page.locator('[data-testid^="quality-item-"]');
    const shown = async () => (await items.count()) > 0 && (await items.first().isVisible());
    if ((await shown()) !== (what === "open")) {
      await page.mouse.move(200, 200);
      await button.click();
      await until(`the menu to be ${what}`, 5, async () => (await shown()) === (what === "open"));
    }
    const list = what === "open" ? await items.evaluateAll((all) => all.map((i) => i.dataset.testid.slice(13))) : [];
    return { items: list };
  },

  async level([height, size]) {
    await commands.menu(["open"]);
    await page.locator(`[data-testid="quality-item-${height}"]`).click();
    const auto = height === "auto";
    return until(`level ${height}`, 30, async () => {
      const now = await state();
      if (auto) return now.auto ? now : null;
      const shown = size === "any" || now.size[1] === Number(height);
      return now.level === Number(height) && shown && !now.auto ? now : null;
    });
  },

  async clock([samples = "100", limit = "60"]) {
    const values = await page.evaluate(
      ([count, bits, limitMs]) =>
        new Promise((resolve, reject) => {
          const video = document.querySelector("video");
          const canvas = document.createElement("canvas");
          const CELL = 8;
          [canvas.width, canvas.height] = [80 * CELL, CELL];
          const context = canvas.getContext("2d", { willReadFrequently: true });
          const out = [];
          let unread = 0;
          const timer = setTimeout(() => reject(new Error(`${out.length} samples, ${unread} pictures without a clock`)), limitMs);
          const look = () => {
            const now = Date.now();
            context.drawImage(video, 0, 0, video.videoWidth, video.videoWidth / 80, 0, 0, canvas.width, canvas.height);
            const { data } = context.getImageData(0, CELL / 2, canvas.width, 1);
            const white = (cell) => {
              const at = 4 * (cell * CELL + CELL / 2);
              return 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2] > 128;
            };
            const check = [true, false, true, false].every((want, i) => white(bits + i) === want);
            let stamp = 0;
            for (let bit = bits - 1; bit >= 0; bit--) stamp = stamp * 2 + (white(bit) ? 1 : 0);
            if (check && Math.abs(now - stamp) < 600000) out.push(now - stamp);
            else unread += 1;
            if (out.length >= count) {
              clearTimeout(timer);
              resolve({ out, unread });
            } else video.requestVideoFrameCallback(look);
          };
          video.requestVideoFrameCallback(look);
        }),
      [Number(samples), STRIP_BITS, Number(limit) * 1000],
    );
    const sorted = values.out.sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    return { samples: sorted.length, unread: values.unread, median: at(0.5), p95: at(0.95), min: sorted[0], max: sorted.at(-1) };
  },

  async count([frames = "60"]) {
    return page.evaluate(
      (count) =>
        new Promise((resolve) => {
          const video = document.querySelector("video");
          const steps = [];
          let last = null;
          const look = (_, { mediaTime }) => {
            if (last !== null) steps.push(Math.round((mediaTime - last) * 1000));
            last = mediaTime;
            if (steps.length >= count) resolve({ largest: Math.max(...steps), smallest: Math.min(...steps) });
            else video.requestVideoFrameCallback(look);
          };
          video.requestVideoFrameCallback(look);
        }),
      Number(frames),
    );
  },

  async watchdog([what = "start"]) {
    if (what === "stop") return page.evaluate(() => window.__watchdog());
    return page.evaluate(() => {
      const video = document.querySelector("video");
      const begun = performance.now();
      const freezes = [];
      const jumps = [];
      const badges = [];
      let [moved, at] = [begun, video.currentTime];
      const timer = setInterval(() => {
        const [now, time] = [performance.now(), video.currentTime];
        const badge = document.querySelector('[data-testid="state"]')?.dataset.state;
        if (badges.at(-1)?.[1] !== badge) badges.push([Math.round((now - begun) / 100) / 10, badge]);
        if (Math.abs(time - at) > 0.005) {
          if (now - moved > 500) freezes.push([Math.round((moved - begun) / 100) / 10, Math.round((now - moved) / 100) / 10]);
          if (Math.abs(time - at) > 0.5 + (now - moved) / 1000) jumps.push(Math.round((time - at) * 10) / 10);
          [moved, at] = [now, time];
        }
      }, 50);
      window.__watchdog = () => {
        clearInterval(timer);
        const open = performance.now() - moved;
        return { seconds: Math.round((performance.now() - begun) / 1000), freezes, jumps, badges, frozen: Math.round(open / 100) / 10 };
      };
      return {};
    });
  },

  async hover([share, limit = "15"]) {
    return until("a preview", Number(limit), async () => {
      const box = await page.locator('[data-testid="scrub"]').boundingBox();
      // Each time a pixel beside the last: only a pointer that moves asks.
      const x = box.x + box.width * Number(share) + (Date.now() % 3);
      await page.mouse.move(x, box.y + box.height / 2);
      return page.evaluate(() => {
        const preview = document.querySelector('[data-testid="preview"]');
        const canvas = document.querySelector('[data-testid="preview-picture"]');
        if (preview.hidden || !preview.dataset.tile || preview.dataset.drawn !== preview.dataset.tile) return null;
        const { width, height } = canvas;
        const { data } = canvas.getContext("2d").getImageData(10, 10, width - 20, height - 20);
        let sum = 0;
        for (let i = 0; i < data.length; i += 4) sum += (data[i] + data[i + 1] + data[i + 2]) / 3;
        const words = preview.querySelector(".ago").textContent;
        const shown = canvas.offsetWidth > 0 && canvas.offsetHeight > 0;
        return { tile: Number(preview.dataset.tile), grey: sum / (data.length / 4), width, height, words, shown };
      });
    });
  },

  async thumbnail([limit = "15"]) {
    return until("a thumbnail", Number(limit), () =>
      page.evaluate(() => {
        const image = document.querySelector('[data-testid="thumbnail"]');
        if (!image?.complete || image.naturalWidth === 0 || image.hidden) return null;
        return { size: [image.naturalWidth, image.naturalHeight], url: image.src };
      }),
    );
  },

  async shot([file]) {
    await page.screenshot({ path: file });
    return { file };
  },
};

process.stdout.write(`${JSON.stringify({ ok: true, version: browser.version() })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...rest] = line.trim().split(/\s+/);
  if (name === "quit") break;
  let answer;
  try {
    if (!Object.hasOwn(commands, name)) throw new Error(`no command ${name}`);
    answer = { ok: true, ...(await commands[name](rest)) };
  } catch (error) {
    answer = { ok: false, error: error.message.split("\n")[0], complaints };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
