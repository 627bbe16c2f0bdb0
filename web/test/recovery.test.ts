import { describe, expect, it } from "vitest";
import { backoff, liveDistance, Recovery, wayOut, type Trouble } from "../src/recovery";

describe("recovery", () => {
  const run = (troubles: [Trouble, number][]) => {
    const recovery = new Recovery();
    return troubles.map(([trouble, at]) => recovery.next(trouble, at).kind);
  };

  it("tries the network with growing pauses, and gives up", () => {
    const recovery = new Recovery();
    const delays = Array.from({ length: 11 }, (_, at) => recovery.next("network", at * 1000)).map((remedy) =>
      remedy.kind === "reload" ? remedy.delayMs : remedy.kind,
    );
    expect(delays).toEqual([1000, 2000, 4000, 8000, 8000, 8000, 8000, 8000, 8000, 8000, "give-up"]);
  });

  it("starts counting anew once media arrives", () => {
    const recovery = new Recovery();
    for (let i = 0; i < 10; i += 1) recovery.next("network", i);
    recovery.wellAgain();
    expect(recovery.next("network", 11)).toEqual({ kind: "reload", delayMs: 1000 });
  });

  it("recovers media thrice, then builds the player anew, then gives up", () => {
    const at = [0, 1, 2, 3, 4, 5, 6].map((second): [Trouble, number] => ["media", second * 1000]);
    expect(run(at)).toEqual(["recover-media", "recover-media", "recover-media", "rebuild", "rebuild", "rebuild", "give-up"]);
  });

  it("takes media errors far apart for different ones", () => {
    const at = [0, 1, 2, 3, 4].map((minute): [Trouble, number] => ["media", minute * 60_000]);
    expect(new Set(run(at))).toEqual(new Set(["recover-media"]));
  });

  it("never waits longer than eight seconds", () => {
    expect([0, 1, 2, 3, 4, 30].map(backoff)).toEqual([1000, 2000, 4000, 8000, 8000, 8000]);
  });
});

describe("a way out of a standstill", () => {
  const at = { currentTime: 10, livePosition: 50, stalledMs: 4000 };
  it.each([
    ["not long enough", { ...at, buffered: [[20, 30]], stalledMs: 1000 }, null],
    ["a hole with media behind it", { ...at, buffered: [[0, 10.1], [20, 30]] }, 20.05],
    ["media right here: the decoder is at fault", { ...at, buffered: [[5, 30]] }, null],
    ["nothing ahead, waiting a little", { ...at, buffered: [] }, null],
    ["nothing ahead for long", { ...at, buffered: [], stalledMs: 7000 }, 50],
    ["nothing ahead, and live is here", { ...at, buffered: [], livePosition: 11, stalledMs: 7000 }, null],
    ["nothing known", { ...at, buffered: [], livePosition: null, stalledMs: 60_000 }, null],
  ] as const)("%s", (_, still, want) => {
    expect(wayOut({ ...still, buffered: still.buffered.map(([start, end]) => [start, end]) })).toBe(want);
  });
});

it("plays two and a half segments from the live edge, within reason", () => {
  expect(liveDistance(2, 4)).toBe(5);
  expect(liveDistance(null, 2)).toBe(5);
  expect(liveDistance(1, 2)).toBe(3);
  expect(liveDistance(8.333, 9)).toBeCloseTo(20.8, 1);
  expect(liveDistance(20, 20)).toBe(30);
});
