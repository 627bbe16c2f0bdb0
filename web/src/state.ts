// What the player shows: from what the server says and what the video element does. Pure.

import type { StreamState } from "./api";

/** The server's word on the stream. `unknown` before the first answer. */
export type Word = StreamState | "offline" | "unknown" | "unreachable";

/** What playing looks like from inside. */
export interface Playing {
  /** A source is attached. */
  attached: boolean;
  /** A picture has been shown since it was attached. */
  begun: boolean;
  paused: boolean;
  /** Played to the very end of a list that has one. */
  finished: boolean;
  /** Nothing left in the buffer although it should play. */
  starved: boolean;
  /** Seconds later than live playback would be; null while unknown. */
  behind: number | null;
  /** All attempts to recover have failed: why, in words. */
  failure: string | null;
}

export type Badge = "LIVE" | "BEHIND" | "STARTING" | "RECONNECTING" | "ENDED" | "REPLAY" | "OFFLINE" | "ERROR" | "CONNECTING";

export interface Overlay {
  title: string;
  text: string;
  spinner: boolean;
  action: "retry" | "replay" | null;
}

export interface View {
  badge: Badge;
  overlay: Overlay | null;
  /** There is a later point to jump to. */
  canGoLive: boolean;
}

/** Seconds behind that a viewer does not notice, and that a player makes up by itself. */
export const BEHIND_SECONDS = 6;

const overlay = (title: string, text: string, spinner = true, action: Overlay["action"] = null): Overlay => ({
  title,
  text,
  spinner,
  action,
});

export function view(word: Word, playing: Playing): View {
  const still = (badge: Badge, shown: Overlay | null): View => ({ badge, overlay: shown, canGoLive: false });
  const hasMore = playing.attached && playing.begun && !playing.finished && !playing.starved;

  switch (word) {
    case "offline":
      if (hasMore) return still("ENDED", null);
      return still("OFFLINE", overlay("Offline", "This stream is not live. It starts here by itself once it is.", false));
    case "ended":
      if (hasMore) return still(playing.failure ? "ENDED" : "REPLAY", null);
      if (playing.attached && !playing.begun && !playing.failure) return still("ENDED", overlay("", "", true));
      return still("ENDED", overlay("The stream has ended", "Thanks for watching.", false, "replay"));
    case "starting":
      return still("STARTING", overlay("The stream is starting…", "The picture appears in a few seconds."));
    case "held":
      if (hasMore) return still("RECONNECTING", null);
      return still(
        "RECONNECTING",
        overlay("The streamer lost the connection", "Waiting for it to come back. Playback goes on by itself."),
      );
    case "unknown":
      return still("CONNECTING", playing.begun ? null : overlay("", "", true));
    case "unreachable":
      if (hasMore) return live(playing);
      return still("ERROR", overlay("The server cannot be reached", "Check the network. Trying again…"));
    case "live":
      // The list's end is here before the server's word of it.
      if (playing.finished) return still("ENDED", null);
      if (playing.failure) return still("ERROR", overlay("The stream cannot be played", playing.failure, false, "retry"));
      return live(playing);
  }
}

function live(playing: Playing): View {
  const late = playing.begun && (playing.paused || (!playing.starved && (playing.behind ?? 0) > BEHIND_SECONDS));
  // Before the first picture it is paused, too, until the browser has been asked to play.
  const waiting = !playing.begun || (!playing.paused && playing.starved);
  return {
    badge: late ? "BEHIND" : "LIVE",
    overlay: waiting ? overlay("", "", true) : null,
    canGoLive: late,
  };
}

/** How long to wait before asking the server about the stream again. */
export function pollDelayMs(word: Word, { starved, finished }: Pick<Playing, "starved" | "finished">): number {
  switch (word) {
    case "live":
      return starved || finished ? 2000 : 10_000;
    case "starting":
    case "held":
      return 1500;
    case "ended":
    case "offline":
      return 4000;
    case "unknown":
    case "unreachable":
      return 3000;
  }
}
