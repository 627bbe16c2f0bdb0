import { describe, expect, it } from "vitest";
import { parse, tileAt } from "../src/storyboard";

const TEXT = `WEBVTT
X-PROGRAM-DATE-TIME=2026-11-22T12:00:00.000Z

00:00:00.040 --> 00:00:05.040
storyboard-17.jpg#xywh=0,0,160,90

00:00:05.040 --> 00:00:10.500
storyboard-17.jpg?tiles=2#xywh=160,90,160,90
`;
const NOON = Date.parse("2026-11-22T12:00:00Z");
const BASE = "https://tv.example.org/live/show/storyboard.vtt";

describe("the storyboard", () => {
  it("tells the tiles with their dates", () => {
    expect(parse(TEXT, BASE)).toEqual([
      { from: NOON + 40, to: NOON + 5040, url: "https://tv.example.org/live/show/storyboard-17.jpg", x: 0, y: 0, width: 160, height: 90 },
      { from: NOON + 5040, to: NOON + 10500, url: "https://tv.example.org/live/show/storyboard-17.jpg?tiles=2", x: 160, y: 90, width: 160, height: 90 },
    ]);
  });

  it("takes hours beyond 99 and other line ends", () => {
    const [tile] = parse(TEXT.replace("00:00:00.040", "100:00:00.040").replaceAll("\n", "\r\n"), BASE);
    expect(tile?.from).toBe(NOON + 360_000_040);
  });

  it.each([
    ["nothing", ""],
    ["no storyboard", "<html>"],
    ["no date", "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\na.jpg#xywh=0,0,1,1"],
    ["a wrong date", "WEBVTT\nX-PROGRAM-DATE-TIME=soon\n\n00:00:00.000 --> 00:00:01.000\na.jpg#xywh=0,0,1,1"],
    ["a wrong time", "WEBVTT\nX-PROGRAM-DATE-TIME=2026-11-22T12:00:00Z\n\n0 --> 1\na.jpg#xywh=0,0,1,1"],
    ["no place", "WEBVTT\nX-PROGRAM-DATE-TIME=2026-11-22T12:00:00Z\n\n00:00:00.000 --> 00:00:01.000\na.jpg"],
  ])("makes nothing of %s", (_, text) => expect(parse(text, BASE)).toEqual([]));

  it("finds the tile of a moment", () => {
    const tiles = parse(TEXT, BASE);
    expect(tileAt(tiles, NOON)).toBeNull();
    expect(tileAt(tiles, NOON + 40)?.x).toBe(0);
    expect(tileAt(tiles, NOON + 5040)?.x).toBe(160);
    expect(tileAt(tiles, NOON + 10500)).toBeNull();
  });
});
