// Moments: local for reading, UTC for comparing with logs.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY_AND_CLOCK = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const DAY = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

/** The time of day, with the day before it when that is not today. */
export function clock(time: string | number, now = Date.now()): string {
  const date = new Date(time);
  const today = new Date(now).toDateString() === date.toDateString();
  return today ? CLOCK.format(date) : `${DAY.format(date)}, ${CLOCK.format(date).slice(0, 5)}`;
}

/** Day and time, in full. */
export const full = (time: string | number): string => DAY_AND_CLOCK.format(new Date(time));

/** For the tooltip: `2026-11-21 08:30:00.104 UTC`. */
export const utc = (time: string | number): string => `${new Date(time).toISOString().replace("T", " ").replace("Z", "")} UTC`;
