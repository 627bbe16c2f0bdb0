// Plays a stream with a player that is not ours, in Debian's Chromium, and tells how it went.
//
//   node play.mjs PLAYER URL [--seconds 300] [--low-latency] [--clock SECONDS] [--throttle] [--rewind] [--seek]
//                 [--config JSON] [--shot FILE] [--quiet]
//
// PLAYER: hlsjs, videojs, shaka (HLS or DASH), dashjs. --throttle: a slow network in the second quarter, a fast one
// again after it; the level must fall and rise. --rewind: back to the beginning of the window and to the live edge again.
// --seek: of a recording: to five places and to the end. Prints one line of JSON; exit code 1 where something stalled after
// the start, an error was reported, or what was asked for did not happen.

import { createReadStream, existsSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "300" },
    "low-latency": { type: "boolean", default: false },
    clock: { type: "string" },
    throttle: { type: "boolean", default: false },
    rewind: { type: "boolean", default: false },
    seek: { type: "boolean", default: false },
    config: { type: "string" },
    shot: { type: "string" },
    quiet: { type: "boolean", default: false },
  },
});
const [kind, url] = positionals;
if (!kind || !url) {
  console.error("usage: node play.mjs PLAYER URL [OPTIONS]");
  process.exit(64);
}
const seconds = Number(options.seconds);
const sleep = (s) => new Promise((resolve) => setTimeout(resolve, s * 1000));
const tell = (...words) => options.quiet || console.error(...words);

const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".map": "application/json" };
const server = createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
  const file = path === "/" ? join(here, "stage.html") : path.startsWith("/modules/") ? join(here, "node_modules", path.slice(9)) : join(here, path);
  if (!existsSync(file) || path.includes("..")) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio", "--disable-dev-shm-usage", "--ignore-certificate-errors"],
});
const faults = [];
const result = { player: kind, url };
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 720 } });
  const network = [];
  page.on("response", (response) => {
    if (response.status() >= 400 && !response.url().endsWith("favicon.ico")) network.push(`${response.status()} ${new URL(response.url()).pathname}`);
  });
  page.on("pageerror", (error) => faults.push(`page: ${error.message}`));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.addScriptTag({ url: "/players.js", type: "module" });
  await page.waitForFunction(() => window.stage);
  const codecs = await page.evaluate(() => MediaSource.isTypeSupported('video/mp4; codecs="avc1.64001f,mp4a.40.2"'));
  if (!codecs) throw new Error("this Chromium plays no H.264 and AAC");
  const config = options.config ? JSON.parse(options.config) : undefined;
  const { version } = await page.evaluate(([kind, url, more]) => stage.start(kind, url, more), [kind, url, { lowLatency: options["low-latency"], config }]);
  result.version = version;
  const report = () => page.evaluate(() => stage.report());
  const begun = Date.now();
  while ((await report()).first === null) {
    if (Date.now() - begun > 30000) throw new Error(`no picture in 30 s: ${JSON.stringify(await report())}; ${network.slice(-5)}`);
    await sleep(0.1);
  }
  tell("plays", JSON.stringify((await report()).size));
  const since = () => (Date.now() - begun) / 1000;
  if (options.clock) {
    await sleep(10); // what a start costs is not what watching costs
    result.clock = await page.evaluate((span) => stage.clock(span), Number(options.clock));
    tell("clock", JSON.stringify(result.clock));
    if (!result.clock.samples) faults.push("no clock in the picture");
  }
  if (options.throttle) {
    const cdp = await page.context().newCDPSession(page);
    await cdp.send("Network.enable");
    const speed = (bits) => cdp.send("Network.emulateNetworkConditions", { offline: false, latency: 20, downloadThroughput: bits / 8, uploadThroughput: bits / 8 });
    const heights = (await page.evaluate(() => player.heights())).filter(Boolean).sort((a, b) => a - b);
    await sleep(Math.max(0, seconds / 4 - since()));
    const before = (await report()).size[1];
    await speed(1_400_000);
    tell("throttled");
    await sleep(seconds / 4);
    const slow = (await report()).size[1];
    await cdp.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    tell("free");
    await sleep(seconds / 4);
    const after = (await report()).size[1];
    result.throttle = { heights, before, slow, after };
    if (!(slow < before) || !(after > slow)) faults.push(`levels did not follow the network: ${before}, ${slow}, ${after}`);
  }
  if (options.rewind) {
    const { seekable } = await report();
    await page.evaluate(() => stage.watch(false));
    const back = await page.evaluate((to) => stage.seek(to), seekable[0][0] + 8);
    await page.evaluate(() => stage.watch(true));
    await sleep(5);
    const there = await report();
    await page.evaluate(() => stage.watch(false));
    await page.evaluate(() => player.live());
    await sleep(5);
    await page.evaluate(() => stage.watch(true));
    const live = await report();
    result.rewind = { window: seekable, back, behind: seekable.at(-1)[1] - there.time, live: live.seekable.at(-1)[1] - live.time };
    if (back.took === null) faults.push("it did not play after rewinding");
    if (result.rewind.live > 15) faults.push("it did not come back to the live edge");
  }
  if (options.seek) {
    const { duration } = await report();
    result.seeks = [];
    await page.evaluate(() => stage.watch(false));
    for (const share of [0.8, 0.1, 0.5, 0.95, 0.3]) {
      const seek = await page.evaluate((to) => stage.seek(to), duration * share);
      result.seeks.push(seek);
      if (seek.took === null) faults.push(`it did not play after a seek to ${share}`);
    }
    await page.evaluate((to) => (document.querySelector("video").currentTime = to), duration - 3);
    await sleep(8);
    if (!(await report()).ended) faults.push("it did not end at the end");
  } else {
    await sleep(Math.max(0, seconds - since()));
  }
  if (options.shot) await page.screenshot({ path: options.shot });
  Object.assign(result, await report());
  result.network = network;
  const fatal = result.errors.filter((error) => error.fatal);
  if (fatal.length) faults.push(`errors: ${JSON.stringify(fatal)}`);
  if (result.stalls.length) faults.push(`stalls: ${JSON.stringify(result.stalls)}`);
  if (result.frames === 0) faults.push("nothing was decoded");
} catch (error) {
  faults.push(String(error.message ?? error));
} finally {
  await browser.close();
  server.close();
}
result.faults = faults;
console.log(JSON.stringify(result));
process.exit(faults.length ? 1 : 0);
