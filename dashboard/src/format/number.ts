// Numbers: grouped, shortened, with units.

const GROUPED = new Intl.NumberFormat("en");

export const count = (n: number | null | undefined): string => (n === null || n === undefined ? "–" : GROUPED.format(n));

/** `999`, `12.3k`, `4.56M`. */
export function short(n: number): string {
  if (Math.abs(n) < 1000) return GROUPED.format(Math.round(n * 10) / 10);
  const [scaled, unit] = Math.abs(n) < 999_500 ? [n / 1000, "k"] : Math.abs(n) < 999_500_000 ? [n / 1_000_000, "M"] : [n / 1_000_000_000, "G"];
  const digits = Math.abs(scaled) < 9.995 ? 2 : Math.abs(scaled) < 99.95 ? 1 : 0;
  return `${Number(scaled.toFixed(digits))}${unit}`;
}

/** `7 B`, `7.15 KiB`, `1.2 MiB`. */
export function bytes(n: number | null | undefined): string {
  if (n === null || n === undefined) return "–";
  if (n < 1024) return `${n} B`;
  const [scaled, unit] = n < 1024 ** 2 ? [n / 1024, "KiB"] : n < 1024 ** 3 ? [n / 1024 ** 2, "MiB"] : [n / 1024 ** 3, "GiB"];
  return `${scaled < 10 ? scaled.toFixed(2) : scaled.toFixed(1)} ${unit}`;
}

/** One noun or several: `1 delivery`, `2 deliveries`. */
export const counted = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`;

/** The share of a whole in percent, to one digit, never rounded to a hundred while something is missing. */
export function percent(part: number, whole: number): string {
  if (whole === 0) return "–";
  const value = (part / whole) * 100;
  if (part < whole && value > 99.95) return "99.9 %";
  return `${Number(value.toFixed(1))} %`;
}
