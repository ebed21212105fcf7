import { expect, test } from "vitest";
import { bytes, counted, percent, short } from "./number";

test("large numbers are shortened to three digits", () => {
  expect([7, 999, 1000, 1234, 12_345, 123_456, 999_499, 999_500, 4_560_000, 2_000_000_000].map(short)).toEqual([
    "7", "999", "1k", "1.23k", "12.3k", "123k", "999k", "1M", "4.56M", "2G",
  ]);
});

test("a share is a hundred only when nothing is missing", () => {
  expect([percent(1, 3), percent(99_999, 100_000), percent(5, 5), percent(0, 0)]).toEqual(["33.3 %", "99.9 %", "100 %", "–"]);
});

test("bytes are in units of 1024, and nouns in number", () => {
  expect([bytes(7), bytes(7324), bytes(1_258_291), bytes(undefined)]).toEqual(["7 B", "7.15 KiB", "1.20 MiB", "–"]);
  expect([counted(1, "delivery", "deliveries"), counted(2, "delivery", "deliveries"), counted(1204, "cause")]).toEqual(["1 delivery", "2 deliveries", "1,204 causes"]);
});
