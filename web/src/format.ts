// Numbers to words. Pure.

/** "2.8 Mb/s", "640 kb/s". */
export function bitRate(bps: number): string {
  if (!Number.isFinite(bps) || bps <= 0) return "";
  if (bps >= 999_500) return `${(bps / 1e6).toFixed(bps >= 9_950_000 ? 0 : 1)} Mb/s`;
  return `${Math.max(1, Math.round(bps / 1000))} kb/s`;
}

/** "5.2 s behind live" is told as "5.2 s"; null while it is unknown or makes no sense. */
export function latency(seconds: number | null): string | null {
  if (seconds === null || !Number.isFinite(seconds) || seconds < -1) return null;
  const known = Math.max(0, seconds);
  if (known < 100) return `${known.toFixed(1)} s`;
  return duration(known);
}

/** "12 s", "4 min", "1 h 05 min", "3 d 4 h". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** How far before the live edge a moment is: "live", "-0:07", "-1:02:03". */
export function agoWords(seconds: number): string {
  const whole = Math.round(Math.max(0, seconds));
  if (whole === 0) return "live";
  const two = (value: number) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0 ? `-${hours}:${two(minutes)}:${two(whole % 60)}` : `-${minutes}:${two(whole % 60)}`;
}

export interface Picture {
  width?: number | null | undefined;
  height?: number | null | undefined;
  frameRate?: number | null | undefined;
}

/** "720p", "1080p60"; the shorter side names it, so that a portrait picture is called as its landscape twin. */
export function pictureName({ width, height, frameRate }: Picture): string {
  if (!height) return "Audio only";
  const side = width ? Math.min(width, height) : height;
  const fast = frameRate && frameRate > 35 ? String(Math.round(frameRate)) : "";
  return `${side}p${fast}`;
}

/** The best picture of a stream, for its card. */
export function bestPicture(pictures: { width: number | null; height: number | null; frame_rate: number | null }[]): string {
  const best = pictures.reduce<(typeof pictures)[number] | null>(
    (best, next) => ((next.height ?? 0) * (next.width ?? 0) > (best?.height ?? 0) * (best?.width ?? 0) ? next : best),
    null,
  );
  if (best) return pictureName({ ...best, frameRate: best.frame_rate });
  return pictures.length > 0 ? "Audio only" : "";
}

export function viewers(count: number): string {
  return count === 1 ? "1 viewer" : `${count} viewers`;
}

/** What to type into an encoder to publish to the host this page came from. */
export function publishAddress(hostname: string, port: number | null, app: string): string {
  const host = hostname.includes(":") && !hostname.startsWith("[") ? `[${hostname}]` : hostname;
  return `rtmp://${host}${port === null || port === 1935 ? "" : `:${port}`}/${app}`;
}
