import { expect, test } from "vitest";
import { PauseBuffer } from "./pause-buffer";

test("what fits comes out in its order, once", () => {
  const buffer = new PauseBuffer<number>(3);
  for (const item of [1, 2, 3]) buffer.push(item);
  expect(buffer.drain()).toEqual({ items: [1, 2, 3], dropped: 0 });
  expect(buffer.drain()).toEqual({ items: [], dropped: 0 });
});

test("the oldest go beyond the bound, and are counted, however many come", () => {
  const buffer = new PauseBuffer<number>(100);
  for (let item = 0; item < 12_345; item++) buffer.push(item);
  expect([buffer.size, buffer.dropped]).toEqual([100, 12_245]);
  const { items, dropped } = buffer.drain();
  expect([items[0], items.at(-1), items.length, dropped]).toEqual([12_245, 12_344, 100, 12_245]);
});
