import { expect, test } from "vitest";
import { allContainers, ancestorsOf, type Json, linesOf, openAtFirst, search, valueAt } from "./tree";

const DOCUMENT: Json = { action: "opened", "a/b": { "~": [1, "Octo Cat", null] }, repository: { full_name: "octo-org/api", private: false }, empty: {} };

test("only what is open is a line, with the sizes of what is closed", () => {
  expect(linesOf(DOCUMENT, new Set([""])).map(({ depth, key, text }) => `${depth} ${key} ${text}`)).toEqual([
    "0 null { 4 }",
    '1 action "opened"',
    "1 a/b { 1 }",
    "1 repository { 2 }",
    "1 empty {}",
  ]);
  const all = linesOf(DOCUMENT, allContainers(DOCUMENT));
  expect(all.map(({ path }) => path)).toContain("/a~1b/~0/1");
  expect(all).toHaveLength(11);
});

test("a search finds keys and values, and says what has to be open to see them", () => {
  expect(search(DOCUMENT, "octo")).toEqual(["/a~1b/~0/1", "/repository/full_name"]);
  expect(search(DOCUMENT, "FULL_name")).toEqual(["/repository/full_name"]);
  expect(search(DOCUMENT, "null")).toEqual(["/a~1b/~0/2"]);
  expect(search(DOCUMENT, " ")).toEqual([]);
  expect(ancestorsOf(["/a~1b/~0/1"])).toEqual(new Set(["/a~1b/~0", "/a~1b", ""]));
});

test("a path leads to its value", () => {
  expect(valueAt(DOCUMENT, "/a~1b/~0/1")).toBe("Octo Cat");
  expect(valueAt(DOCUMENT, "")).toBe(DOCUMENT);
  expect(valueAt(DOCUMENT, "/action/none")).toBeUndefined();
});

test("small parts are open at first, large ones are not", () => {
  const open = openAtFirst({ small: { a: 1 }, large: Array.from({ length: 100 }, (_, n) => n) });
  expect(open).toEqual(new Set(["", "/small"]));
});

test("a megabyte is searched and laid out in a moment", () => {
  const large: Json = { items: Array.from({ length: 40_000 }, (_, n) => ({ id: n, name: `item ${n}` })) };
  const begin = performance.now();
  expect(search(large, "item 39999")).toEqual(["/items/39999/name"]);
  expect(linesOf(large, allContainers(large))).toHaveLength(120_002);
  expect(performance.now() - begin).toBeLessThan(2000);
});
