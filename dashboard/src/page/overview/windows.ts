// The windows of time that figures are shown over.
export const WINDOWS = [
  { value: 1, label: "1 h" },
  { value: 24, label: "24 h" },
  { value: 168, label: "7 d" },
  { value: 720, label: "30 d" },
] as const;

export type Hours = (typeof WINDOWS)[number]["value"];

export const DEFAULT_HOURS: Hours = 24;

export function hoursOf(query: URLSearchParams): Hours {
  const given = Number(query.get("hours"));
  return WINDOWS.find(({ value }) => value === given)?.value ?? DEFAULT_HOURS;
}

export const windowName = (hours: Hours): string => ({ 1: "last hour", 24: "last 24 hours", 168: "last 7 days", 720: "last 30 days" })[hours];
