import { expect, test } from "vitest";
import type { DeadLetter } from "../../api/types";
import { causesOf } from "./causes";

const letter = (id: string, destination: string, errorCode: string, error: string) => ({ id, destination, errorCode, error, retryable: false }) as DeadLetter;

test("dead letters are grouped by who, what and why, the most frequent first", () => {
  const causes = causesOf([
    letter("1", "ci", "TIMEOUT_ERROR", "no answer to 019aa5c4-9d29-7a31-8e7e-0b6f2f3a9c11"),
    letter("2", "chat", "VALIDATION_ERROR", "answered 422"),
    letter("3", "ci", "TIMEOUT_ERROR", "no answer to 019aa5c4-9d29-7a31-8e7e-0b6f2f3a9c12"),
    letter("4", "ci", "VALIDATION_ERROR", "answered 422"),
  ]);
  expect(causes.map(({ destination, code, letters }) => [destination, code, letters.map(({ id }) => id)])).toEqual([
    ["ci", "TIMEOUT_ERROR", ["1", "3"]],
    ["chat", "VALIDATION_ERROR", ["2"]],
    ["ci", "VALIDATION_ERROR", ["4"]],
  ]);
  expect(causes[0]?.error).toBe("no answer to …");
});
