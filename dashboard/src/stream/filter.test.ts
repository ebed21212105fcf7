import { expect, test } from "vitest";
import type { Delivery } from "../api/types";
import { filterOf, hasStatus, hasText, isNarrowed, listQuery, liveQuery, queryOf } from "./filter";

const row = { id: "github.41.x", source: "github", event: "issues", action: "opened", repository: "octo-org/api", sender: "octocat", status: "dead", error: "answered 422" } as Delivery;

test("a filter and its address are the same thing", () => {
  const address = "event=issues&repository=octo-org%2Fapi&status=failed&text=a+b%26c";
  const filter = filterOf(new URLSearchParams(address));
  expect(filter).toEqual({ source: "", event: "issues", action: "", repository: "octo-org/api", status: "failed", text: "a b&c" });
  expect(queryOf(filter).toString()).toBe(address);
  expect(isNarrowed(filter)).toBe(true);
  expect(isNarrowed(filterOf(new URLSearchParams("other=1")))).toBe(false);
});

test("the server is told only what it narrows by", () => {
  const filter = filterOf(new URLSearchParams("event=push&status=pending&text=x"));
  expect(liveQuery(filter)).toEqual({ event: "push" });
  expect(listQuery(filter)).toEqual({ event: "push", status: "pending" });
});

test("a text fits when each of its words is somewhere in the row", () => {
  expect(hasText(row, "")).toBe(true);
  expect(hasText(row, "OCTOCAT issues.opened")).toBe(true);
  expect(hasText(row, "422 api")).toBe(true);
  expect(hasText(row, "octocat closed")).toBe(false);
});

test("pending and failed stand for what they mean", () => {
  expect([hasStatus(row, ""), hasStatus(row, "failed"), hasStatus(row, "dead"), hasStatus(row, "pending")]).toEqual([true, true, true, false]);
  for (const status of ["received", "processing", "retrying"]) expect(hasStatus({ ...row, status }, "pending")).toBe(true);
});
