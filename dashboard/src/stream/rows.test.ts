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

test("what was told of a delivery before its row is there holds when it is", () => {
  const rows = new StreamRows(10);
  const change = { id: "a", status: "dead", processed: false, attempts: 2, error: "answered 422" };
  rows.change({ ...change, status: "retrying", attempts: 1 });
  rows.change(change);
  rows.addPage([row("b", 2), row("a", 1)]);
  expect(rows.all()[1]).toMatchObject({ status: "dead", error: "answered 422" });
});

test("a list that is further than the stream corrects a row, one that lags does not", () => {
  const rows = new StreamRows(10);
  rows.addNew([{ ...row("a", 1), attempts: 0 }, { ...row("b", 2, "dead"), attempts: 3 }]);
  rows.addPage([{ ...row("b", 2, "retrying"), attempts: 2 }, { ...row("a", 1, "processed"), attempts: 1 }]);
  expect(rows.all().map(({ status }) => status)).toEqual(["dead", "processed"]);
});

test("what is read again from the log goes where its time says", () => {
  const rows = new StreamRows(10);
  rows.addNew([row("a", 1), row("e", 5), row("f", 6)]);
  rows.addNew([row("c", 3), row("d", 4), row("f", 6), row("g", 7)]);
  expect(ids(rows)).toEqual(["g", "f", "e", "d", "c", "a"]);
});

test("what fits a filter stays, however much comes that does not", () => {
  const rows = new StreamRows(3);
  rows.look(({ status }) => status === "dead");
  rows.addPage([row("b", 2, "dead"), row("a", 1, "dead")]);
  rows.addNew([3, 4, 5, 6].map((n) => row(`r${n}`, n)));
  expect(ids(rows)).toEqual(["r6", "b", "a"]);
  expect([rows.read, rows.isSparse, rows.isFull, rows.cutAt]).toEqual([6, true, false, undefined]);
  // One that came live, and did not fit then, may fit later.
  rows.change({ id: "r6", status: "dead", processed: false, attempts: 1 });
  rows.addNew([row("r7", 7, "dead")]);
  expect(ids(rows)).toEqual(["r7", "r6", "b"]);
  expect([rows.isFull, rows.cutAt]).toEqual([true, row("b", 2).timestamp]);
});
