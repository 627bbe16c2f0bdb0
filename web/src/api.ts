// What the server tells of its streams: /api/v1/streams.

export type StreamState = "starting" | "live" | "held" | "ended";

export interface Rendition {
  id: string;
  width: number | null;
  height: number | null;
  frame_rate: number | null;
  codecs: string;
  declared_bps: number | null;
  measured_average_bps: number | null;
  made: "copy" | "encode" | "blank" | null;
  reason: string | null;
  /** Null for what is copied, and while nobody publishes. */
  state: "live" | "shed" | null;
  /** The smaller rendition whose pictures a shed one shows. */
  substitute: string | null;
}

export interface Stream {
  name: string;
  state: StreamState;
  /** One broadcast; another one has another. */
  session: string;
  since: string;
  uptime_seconds: number;
  playlist: string;
  watch: string;
  /** Null while there is none; another address with each picture. */
  thumbnail: string | null;
  poster: string | null;
  storyboard: string | null;
  target_duration: number;
  segment_seconds: number | null;
  viewers: number;
  source: string;
  encoder: string | null;
  renditions: Rendition[];
  notes: string[];
}

export interface StreamList {
  now: string;
  publish: { rtmp_port: number | null; app: string };
  streams: Stream[];
}

/** A stream as one request found it. */
export type Finding =
  | { kind: "found"; stream: Stream; clockOffsetMs: number }
  | { kind: "offline" }
  | { kind: "unreachable" };

const PATIENCE_MS = 8000;

export async function listStreams(): Promise<StreamList> {
  const response = await fetch("/api/v1/streams", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return (await response.json()) as StreamList;
}

export async function findStream(name: string): Promise<Finding> {
  const asked = Date.now();
  try {
    const response = await fetch(`/api/v1/streams/${encodeURIComponent(name)}`, {
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (response.status === 404) return { kind: "offline" };
    if (!response.ok) return { kind: "unreachable" };
    const stream = (await response.json()) as Stream & { now: string };
    // The server read its clock somewhere between our two readings.
    const clockOffsetMs = Date.parse(stream.now) - (asked + Date.now()) / 2;
    return { kind: "found", stream, clockOffsetMs: Number.isFinite(clockOffsetMs) ? clockOffsetMs : 0 };
  } catch {
    return { kind: "unreachable" };
  }
}

/** Waits, as long as the server lets us, for a starting stream's playlist. True once there is one. */
export async function playlistIsThere(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(url, { cache: "no-store", signal });
    return response.ok;
  } catch {
    return false;
  }
}
