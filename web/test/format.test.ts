import { describe, expect, it } from "vitest";
import { bestPicture, bitRate, duration, latency, pictureName, publishAddress, viewers } from "../src/format";

import { agoWords } from "../src/format";

describe("how far back a moment is", () => {
  it.each([
    [0, "live"],
    [0.4, "live"],
    [-3, "live"],
    [7, "-0:07"],
    [62.6, "-1:03"],
    [3723, "-1:02:03"],
  ])("%f", (seconds, want) => expect(agoWords(seconds)).toBe(want));
});

describe("bit rates", () => {
  it.each([
    [0, ""],
    [Number.NaN, ""],
    [300, "1 kb/s"],
    [640_000, "640 kb/s"],
    [999_400, "999 kb/s"],
    [999_600, "1.0 Mb/s"],
    [2_840_000, "2.8 Mb/s"],
    [9_940_000, "9.9 Mb/s"],
    [12_300_000, "12 Mb/s"],
  ])("%s is %s", (bps, want) => expect(bitRate(bps)).toBe(want));
});

describe("latency", () => {
  it.each([
    [null, null],
    [Number.NaN, null],
    [-5, null],
    [-0.4, "0.0 s"],
    [5.24, "5.2 s"],
    [61.3, "61.3 s"],
    [3725, "1 h 02 min"],
  ])("%s is %s", (seconds, want) => expect(latency(seconds)).toBe(want));
});

describe("durations", () => {
  it.each([
    [-1, "0 s"],
    [59.9, "59 s"],
    [60, "1 min"],
    [3599, "59 min"],
    [3900, "1 h 05 min"],
    [90_000, "1 d 1 h"],
  ])("%s is %s", (seconds, want) => expect(duration(seconds)).toBe(want));
});

describe("pictures", () => {
  it.each([
    [{ width: 1280, height: 720 }, "720p"],
    [{ width: 1280, height: 720, frameRate: 30 }, "720p"],
    [{ width: 1920, height: 1080, frameRate: 59.94 }, "1080p60"],
    [{ width: 720, height: 1280 }, "720p"],
    [{ height: 480 }, "480p"],
    [{ width: null, height: null }, "Audio only"],
    [{ width: 0, height: 0 }, "Audio only"],
  ])("%o is %s", (picture, want) => expect(pictureName(picture)).toBe(want));

  it("the largest names the stream, whatever the order", () => {
    const row = (width: number | null, height: number | null) => ({ width, height, frame_rate: 30 });
    expect(bestPicture([row(640, 360), row(1280, 720), row(854, 480)])).toBe("720p");
    expect(bestPicture([row(null, null)])).toBe("Audio only");
    expect(bestPicture([])).toBe("");
  });
});

it("viewers are counted in English", () => {
  expect([viewers(0), viewers(1), viewers(2)]).toEqual(["0 viewers", "1 viewer", "2 viewers"]);
});

it("the publish address leaves RTMP's own port out", () => {
  expect(publishAddress("example.org", 1935, "live")).toBe("rtmp://example.org/live");
  expect(publishAddress("localhost", 41935, "live")).toBe("rtmp://localhost:41935/live");
  expect(publishAddress("example.org", null, "live")).toBe("rtmp://example.org/live");
  expect(publishAddress("::1", 1936, "live")).toBe("rtmp://[::1]:1936/live");
});
