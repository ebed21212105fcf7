import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ACTIONS, actionWords } from "./actions";

// The rules of the API, from its source: an action without words would be shown by its name alone.
const RULES = readFileSync(new URL("../../../../crates/query-api/src/access/rule.rs", import.meta.url), "utf8");
const named = [...RULES.matchAll(/(?:operate|admin)(?:_whole)?\(\s*"[A-Z]+",\s*"[^"]+",\s*"([a-z.]+)"/g)].map(([, action]) => action as string);

test("every action that the API audits has words, and a group to narrow by", () => {
  expect(named.length).toBeGreaterThan(20);
  for (const action of named) {
    expect(actionWords(action), action).not.toBe(action);
    expect(ACTIONS.some(([group]) => action.startsWith(`${group}.`)), action).toBe(true);
  }
});
