// JSON whose numbers keep all their digits: whole numbers beyond 2^53, and whatever else a double can't hold, stay text. Pure.
import { isLosslessNumber, isSafeNumber, LosslessNumber, parse, stringify } from "lossless-json";

export { isLosslessNumber, LosslessNumber };

/** What may not fit a double has at least sixteen digits, or an exponent; the hashes in texts do not count. */
const PERHAPS_LONG = /[[:,\s]-?(?:[\d.]{16}|\d[\d.]*[eE])|^-?[\d.]/;

/** As `JSON.parse`, except for such numbers. What only JSON.parse can read is read by it. */
export function parseLossless(text: string): unknown {
  if (!PERHAPS_LONG.test(text)) return JSON.parse(text);
  const number = (digits: string) => (isSafeNumber(digits) ? Number(digits) : new LosslessNumber(digits));
  try {
    // Of a name that stands twice the last counts, as everywhere.
    return parse(text, undefined, { parseNumber: number, onDuplicateKey: ({ newValue }) => newValue });
  } catch {
    return JSON.parse(text);
  }
}

/** As `JSON.stringify`, with all digits. */
export function textOfJson(value: unknown): string {
  return stringify(value, null, 2) ?? "";
}
