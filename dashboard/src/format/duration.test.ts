import { describe, expect, test } from "vitest";
import { ago, duration } from "./duration";

describe("a duration", () => {
  test.each([
    [null, "–"],
    [undefined, "–"],
    [Number.NaN, "–"],
    [0, "0 ms"],
    [0.84, "0.8 ms"],
    [9.94, "9.9 ms"],
    [9.96, "10 ms"],
    [999.4, "999 ms"],
    [999.6, "1.00 s"],
    [1420, "1.42 s"],
    [9994, "9.99 s"],
    [9996, "10.0 s"],
    [59_940, "59.9 s"],
    [59_960, "1 m"],
    [125_000, "2 m 5 s"],
    [3_599_600, "1 h"],
    [11_400_000, "3 h 10 m"],
    [353_000_000, "4 d 2 h"],
    [-1500, "−1.50 s"],
  ])("of %s ms reads %s", (ms, words) => expect(duration(ms)).toBe(words));
});

test("an age grows coarser with time", () => {
  const now = 1_000_000_000;
  const ages = [500, 12_000, 61_000, 3_700_000, 180_000_000].map((ms) => ago(now - ms, now));
  expect(ages).toEqual(["now", "12 s ago", "1 m ago", "1 h ago", "2 d ago"]);
});
