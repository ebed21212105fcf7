import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { curlOf, quoted } from "./curl";

const headers = [
  { name: "host", value: "example.com" },
  { name: "x-github-event", value: "push" },
  { name: "content-length", value: "14" },
  { name: "authorization", value: "(12 characters masked)" },
];

test("it sends what the sender sent, without what belongs to a connection", () => {
  const command = curlOf({ url: "http://127.0.0.1:3000/api/webhooks/github", headers, body: `{"it's":1}`, bodyUrl: "http://x/body" });
  expect(command).toBe(
    "# the value of authorization is secret and not kept: add it yourself\n" +
      "curl -sS 'http://127.0.0.1:3000/api/webhooks/github' \\\n  -H 'x-github-event: push' \\\n  --data-raw '{\"it'\\''s\":1}'",
  );
});

test("a body that is no short text is fetched", () => {
  const command = curlOf({ url: "http://x/in", headers: [], body: null, bodyUrl: "http://x/body" });
  expect(command).toBe(
    "# where Hooklog wants a key: export HOOKLOG_API_KEY with one that may read\n" +
      "body=$(mktemp) &&\ncurl -fsS -H \"X-Api-Key: $HOOKLOG_API_KEY\" -o \"$body\" 'http://x/body' &&\n" +
      "curl -sS 'http://x/in' \\\n  --data-binary @\"$body\"",
  );
});

test("a shell reads a quoted text as it was", () => {
  for (const text of ["plain", "it's", "$(id) `id` \\ \" !", "'; rm -rf / #", "two\nlines", "ümläut 漢字 🪝"]) {
    expect(execFileSync("sh", ["-c", `printf %s ${quoted(text)}`], { encoding: "utf8" })).toBe(text);
  }
});
