import { expect, test } from "vitest";
import type { Delivery } from "../api/types";
import { StreamRows } from "./rows";

const row = (id: string, second: number, status = "received") => ({ id, status, timestamp: `2026-11-21T08:30:${String(second).padStart(2, "0")}Z` }) as Delivery;
const ids = (rows: StreamRows) => rows.all().map(({ id }) => id);

test("the newest is first, and each delivery is there once", () => {
  const rows = new StreamRows(10);
  expect(rows.addNew([row("a", 1), row("b", 2, "processed")])).toBe(2);
  // Told again, as it was received: it has gone on since.
  expect(rows.addNew([row("b", 2), row("c", 3)])).toBe(1);
  expect(ids(rows)).toEqual(["c", "b", "a"]);
  expect(rows.all()[1]?.status).toBe("processed");
});

test("a page of the list goes below, and fills what the stream missed", () => {
  const rows = new StreamRows(10);
  rows.addNew([row("d", 4, "processed")]);
  rows.addPage([row("d", 4), row("b", 2), row("a", 1)]);
  rows.addPage([row("d", 4), row("c", 3)]);
  expect(ids(rows)).toEqual(["d", "c", "b", "a"]);
  expect(rows.all()[0]?.status).toBe("processed");
});

test("what becomes of a delivery changes its row, and of none that is not there", () => {
  const rows = new StreamRows(10);
  rows.addNew([row("a", 1)]);
  const before = rows.all()[0];
  const change = { id: "a", status: "dead", processed: false, attempts: 2, error: "answered 422" };
  expect(rows.change(change)).toBe(true);
  expect(rows.change({ ...change, id: "b" })).toBe(false);
  expect(rows.all()[0]).toMatchObject({ status: "dead", timestamp: before?.timestamp });
  expect(before?.status).toBe("received");
});

test("there are never more rows than there is room for", () => {
  const rows = new StreamRows(3);
  rows.addNew([1, 2, 3, 4, 5].map((n) => row(`r${n}`, n)));
  expect(ids(rows)).toEqual(["r5", "r4", "r3"]);
  expect(rows.change({ id: "r1", status: "dead", processed: false, attempts: 1 })).toBe(false);
});
