import { describe, expect, it } from "vitest";
import { pollDelayMs, view, type Playing, type Word } from "../src/state";

const nothing: Playing = {
  attached: false,
  begun: false,
  paused: true,
  finished: false,
  starved: false,
  behind: null,
  failure: null,
};
const loading: Playing = { ...nothing, attached: true, paused: false };
const running: Playing = { ...loading, begun: true, behind: 0.4 };

describe("what the player shows", () => {
  /** The overlay's title, null for none, and whether it spins. */
  const rows: [name: string, word: Word, playing: Playing, badge: string, overlay: string | null, spinner: boolean][] = [
    ["before the first answer", "unknown", nothing, "CONNECTING", "", true],
    ["nobody publishes", "offline", nothing, "OFFLINE", "Offline", false],
    ["forgotten by the server while the buffer plays out", "offline", running, "ENDED", null, false],
    ["forgotten and played out", "offline", { ...running, starved: true }, "OFFLINE", "Offline", false],
    ["starting", "starting", nothing, "STARTING", "The stream is starting…", true],
    ["starting anew after an end", "starting", { ...running, finished: true }, "STARTING", "The stream is starting…", true],
    ["live, not loaded yet", "live", nothing, "LIVE", "", true],
    ["live, loading", "live", loading, "LIVE", "", true],
    ["live, playing", "live", running, "LIVE", null, false],
    ["live, starved", "live", { ...running, starved: true }, "LIVE", "", true],
    ["live, starved far behind", "live", { ...running, starved: true, behind: 20 }, "LIVE", "", true],
    ["live, far behind", "live", { ...running, behind: 20 }, "BEHIND", null, false],
    ["live, paused", "live", { ...running, paused: true }, "BEHIND", null, false],
    ["live, but its list has ended", "live", { ...running, finished: true, paused: true }, "ENDED", null, false],
    ["live, failed", "live", { ...running, failure: "Words." }, "ERROR", "The stream cannot be played", false],
    ["held, the buffer plays on", "held", running, "RECONNECTING", null, false],
    ["held, the buffer is empty", "held", { ...running, starved: true }, "RECONNECTING", "The streamer lost the connection", true],
    ["held, opened now", "held", loading, "RECONNECTING", "The streamer lost the connection", true],
    ["ended, the buffer plays on", "ended", running, "REPLAY", null, false],
    ["ended, played out", "ended", { ...running, finished: true, paused: true }, "ENDED", "The stream has ended", false],
    ["ended, opened now", "ended", nothing, "ENDED", "The stream has ended", false],
    ["ended, the replay loads", "ended", loading, "ENDED", "", true],
    ["the server is gone, the buffer plays on", "unreachable", running, "LIVE", null, false],
    ["the server is gone", "unreachable", nothing, "ERROR", "The server cannot be reached", true],
  ];
  it.each(rows)("%s", (_, word, playing, badge, overlay, spinner) => {
    const shown = view(word, playing);
    expect(shown.badge).toBe(badge);
    expect(shown.overlay?.title ?? null).toBe(overlay);
    expect(shown.overlay?.spinner ?? false).toBe(spinner);
  });
});

it("only what is late can go live", () => {
  expect(view("live", running).canGoLive).toBe(false);
  expect(view("live", { ...running, behind: 20 }).canGoLive).toBe(true);
  expect(view("live", { ...running, paused: true }).canGoLive).toBe(true);
  expect(view("ended", { ...running, behind: 20 }).canGoLive).toBe(false);
});

it("what is about to change is asked for often", () => {
  expect(pollDelayMs("starting", nothing)).toBeLessThan(pollDelayMs("offline", nothing));
  expect(pollDelayMs("live", { ...running, starved: true })).toBeLessThan(pollDelayMs("live", running));
  expect(pollDelayMs("live", { ...running, finished: true })).toBeLessThan(pollDelayMs("live", running));
});
