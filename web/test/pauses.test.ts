import { describe, expect, it } from "vitest";
import type { Rendition } from "../src/api";
import { LOOK_AGAIN_MS, Pauses, endsInGaps, pauseWords, renditionOf } from "../src/pauses";

const LEVELS = [
  { id: "360p", bps: 900_000 },
  { id: "480p", bps: 1_600_000 },
  { id: "720p", bps: 3_300_000 },
  { id: "1080p", bps: 6_200_000 },
];

/** `.` for a gap, `#` for media. */
const list = (marks: string) => [...marks].map((mark) => ({ gap: mark === "." }));

const rendition = (id: string, state: Rendition["state"], substitute: string | null = null): Rendition => ({
  id,
  width: (Number.parseInt(id, 10) * 16) / 9,
  height: Number.parseInt(id, 10),
  frame_rate: 30,
  codecs: "avc1.64001f",
  declared_bps: null,
  measured_average_bps: null,
  made: state === null ? "copy" : "encode",
  reason: null,
  state,
  substitute,
});

it("a rendition is known by its address", () => {
  expect(renditionOf("http://host:8080/live/show/17/720p/index.m3u8")).toBe("720p");
  expect(renditionOf("/live/show/17/en%20gb/index.m3u8?token=a/b")).toBe("en gb");
  expect(renditionOf("index.m3u8")).toBe("");
});

describe("a list that has nothing more to play", () => {
  it.each([
    ["", false],
    ["###", false],
    ["##.", false],
    ["#..", true],
    ["...", true],
    [".", true],
    ["..#", false],
  ])("%s: %s", (marks, want) => expect(endsInGaps(list(marks))).toBe(want));
});

describe("where the viewers of paused rungs go", () => {
  const rows: [name: string, paused: string[], wanted: number, want: number][] = [
    ["nothing is paused", [], 2, 2],
    ["another is paused", ["360p"], 2, 2],
    ["the next smaller", ["720p"], 2, 1],
    ["the next smaller that plays", ["720p", "480p"], 2, 0],
    ["only the copy is left, larger than the player", ["720p", "480p", "360p"], 0, 3],
    ["the next larger, not the largest", ["360p"], 0, 1],
    ["all are paused: the streamer is away", ["360p", "480p", "720p", "1080p"], 1, 1],
    ["no level", ["360p"], -1, -1],
  ];
  it.each(rows)("%s", (_, paused, wanted, want) => {
    const pauses = new Pauses();
    paused.forEach((id) => pauses.saw(id, list("#.."), 1000));
    expect(pauses.detour(wanted, LEVELS, 2000)).toBe(want);
  });
});

it("a rung is left at once, and looked at again", () => {
  const pauses = new Pauses();
  pauses.saw("480p", list("##.."), 1000);
  expect(pauses.has("480p", 1000)).toBe(true);
  expect(pauses.has("480p", 1000 + LOOK_AGAIN_MS)).toBe(false);
  pauses.saw("480p", list("...."), 20_000);
  expect(pauses.has("480p", 20_100)).toBe(true);
  pauses.saw("480p", list("...#"), 20_200);
  expect(pauses.has("480p", 20_200)).toBe(false);
});

it("the server's word counts until its next", () => {
  const pauses = new Pauses();
  pauses.told([rendition("1080p", null), rendition("480p", "shed", "360p"), rendition("360p", "shed")]);
  expect(pauses.has("360p", 1e9)).toBe(true);
  expect(pauses.has("480p", 1e9)).toBe(false); // others' pictures stand in for it
  pauses.told([rendition("1080p", null), rendition("480p", "live"), rendition("360p", "live")]);
  expect(pauses.has("360p", 1e9)).toBe(false);
  pauses.saw("360p", list(".."), 5);
  pauses.forget();
  expect(pauses.has("360p", 6)).toBe(false);
});

describe("what the menu says", () => {
  const all = [rendition("1080p", null), rendition("720p", "shed", "480p"), rendition("480p", "live"), rendition("360p", "shed")];
  it.each([
    ["1080p", null],
    ["720p", "480p for now: server busy"],
    ["480p", null],
    ["360p", "paused: server busy"],
  ])("%s: %s", (id, want) => expect(pauseWords(all.find((one) => one.id === id)!, all)).toBe(want));
});
