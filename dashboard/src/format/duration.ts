// Durations and ages as people say them.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** `0.8 ms`, `12 ms`, `1.42 s`, `2 m 5 s`, `3 h 10 m`, `4 d 2 h`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms === 0) return "0 ms";
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9.995 * SECOND) return `${(ms / SECOND).toFixed(2)} s`;
  if (ms < 59.95 * SECOND) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < HOUR - SECOND / 2) return two(ms, MINUTE, "m", SECOND, "s");
  if (ms < DAY - MINUTE / 2) return two(ms, HOUR, "h", MINUTE, "m");
  return two(ms, DAY, "d", HOUR, "h");
}

function two(ms: number, large: number, largeUnit: string, small: number, smallUnit: string): string {
  let whole = Math.floor(ms / large);
  let rest = Math.round((ms - whole * large) / small);
  if (rest * small >= large) {
    whole += 1;
    rest = 0;
  }
  return rest === 0 ? `${whole} ${largeUnit}` : `${whole} ${largeUnit} ${rest} ${smallUnit}`;
}

/** How long ago: `now`, `12 s ago`, `4 m ago`, `3 h ago`, `2 d ago`. */
export function ago(then: number, now: number): string {
  const ms = now - then;
  if (ms < 2 * SECOND) return "now";
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s ago`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} m ago`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h ago`;
  return `${Math.floor(ms / DAY)} d ago`;
}
