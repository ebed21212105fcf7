import { expect, test } from "vitest";
import { actOf, stepTo } from "./keys";

const press = (key: string, more = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, ...more });

test("keys mean something, but not to somebody who types", () => {
  expect(["/", "?", "j", "ArrowUp", "g", "x"].map((key) => actOf(press(key), false))).toEqual(["search", "help", "next", "previous", "go", undefined]);
  expect(["/", "?", "j", "Escape"].map((key) => actOf(press(key), true))).toEqual([undefined, undefined, undefined, "close"]);
  expect(actOf(press("k", { ctrlKey: true }), true)).toBe("palette");
  expect(actOf(press("j", { metaKey: true }), false)).toBeUndefined();
});

test("a step stays in the list", () => {
  expect([stepTo("next", -1, 3), stepTo("next", 2, 3), stepTo("previous", 0, 3), stepTo("last", 0, 3), stepTo("next", 0, 0)]).toEqual([0, 2, 0, 2, -1]);
});
