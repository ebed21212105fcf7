import { expect, test } from "vitest";
import { parseLossless, textOfJson } from "./lossless";
import { childrenOf, type Json, linesOf, search } from "./tree";

const LONG = '{"id":9007199254740993,"small":12,"exact":0.1,"many":1.00000000000000000001,"huge":1e400,"list":[12345678901234567890]}';

test("numbers that a double can't hold keep their digits", () => {
  const value = parseLossless(LONG) as Json;
  const texts = linesOf(value, new Set([""])).map(({ key, kind, text }) => [key, kind, text]);
  expect(texts).toContainEqual(["id", "number", "9007199254740993"]);
  expect(texts).toContainEqual(["small", "number", "12"]);
  expect(texts).toContainEqual(["exact", "number", "0.1"]);
  expect(texts).toContainEqual(["many", "number", "1.00000000000000000001"]);
  expect(texts).toContainEqual(["huge", "number", "1e400"]);
  expect(search(value, "12345678901234567890")).toEqual(["/list/0"]);
  expect(textOfJson(value).replace(/\s/g, "")).toBe(LONG);
});

test("what has no such number is what JSON.parse makes of it", () => {
  for (const text of ['{"a":[1,2.5,null,"x"],"b":{}}', "[]", '"text"', "12", '{"a":1,"a":2}']) {
    expect(parseLossless(text)).toEqual(JSON.parse(text));
  }
  expect(() => parseLossless("{")).toThrow();
});

test("a name that stands twice, and one that means something to JavaScript, harm nothing", () => {
  const value = parseLossless('{"a":1,"a":9007199254740993,"__proto__":{"x":1}}') as Json;
  expect(childrenOf(value).map(([name]) => name)).toEqual(["a", "__proto__"]);
  expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
});

test("what is nested deeper than the stack goes is read all the same", () => {
  const deep = `{"long":9007199254740993,"deep":${"[".repeat(20_000)}${"]".repeat(20_000)}}`;
  expect(Object.keys(parseLossless(deep) as object)).toEqual(["long", "deep"]);
});
