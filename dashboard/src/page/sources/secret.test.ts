import { expect, test } from "vitest";
import { isMadeThere, madeSecret, SCHEMES, SECRET_BYTES, secretOf } from "./secret";

const bytes = Uint8Array.from({ length: SECRET_BYTES }, (_, n) => n * 7);

test("a secret is written as its scheme reads it", () => {
  expect(secretOf(bytes, "github")).toMatch(/^0007[0-9a-f]{60}$/);
  expect(secretOf(bytes, "standard")).toBe(`whsec_${Buffer.from(bytes).toString("base64")}`);
  expect(secretOf(bytes, "hmac", "base64")).toBe(Buffer.from(bytes).toString("base64"));
  expect(secretOf(bytes, "hmac", "hex")).toBe(Buffer.from(bytes).toString("hex"));
  expect(secretOf(bytes, "github", "base64")).toBe(Buffer.from(bytes).toString("hex"));
});

test("no two secrets are alike, whatever the scheme", () => {
  const made = SCHEMES.flatMap(({ value }) => [madeSecret(value), madeSecret(value)]);
  expect(new Set(made).size).toBe(made.length);
  expect(SCHEMES.filter(({ value }) => isMadeThere(value)).map(({ value }) => value)).toEqual(["linear"]);
});
