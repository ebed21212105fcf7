// Dead letters by cause: who failed, with which code, and with which words. Pure.
import type { DeadLetter } from "../../api/types";

export interface Cause {
  key: string;
  destination: string;
  code: string;
  error: string;
  retryable: boolean;
  letters: DeadLetter[];
}

/** The most frequent first. */
export function causesOf(letters: readonly DeadLetter[]): Cause[] {
  const causes = new Map<string, Cause>();
  for (const letter of letters) {
    const [destination, code, error] = [letter.destination ?? "unknown", letter.errorCode ?? "UNKNOWN", plain(letter.error ?? "no error was kept")];
    const key = `${destination}\n${code}\n${error}`;
    const cause = causes.get(key) ?? { key, destination, code, error, retryable: letter.retryable ?? false, letters: [] };
    cause.letters.push(letter);
    causes.set(key, cause);
  }
  return [...causes.values()].sort((a, b) => b.letters.length - a.letters.length);
}

/** The words without what differs from one delivery to the next. */
function plain(error: string): string {
  return error.replace(/\b[0-9a-f]{8}-[0-9a-f-]{27}\b/gi, "…").replace(/\b\d{5,}\b/g, "…");
}
