import { expect, test } from "vitest";
import type { HistoryEvent } from "../api/types";
import { storyOf } from "./story";

const event = (type: string, facts: unknown) => ({ type, facts, id: "1", position: 1, revision: 0, recordedAt: "2026-11-21T08:30:00Z" }) as HistoryEvent;

test("each event says what happened, where, and why", () => {
  expect(storyOf(event("DeliveryReceived", null))).toEqual({ title: "Received", text: "", tone: "info" });
  const failure = { message: "answered 422 Unprocessable Entity" };
  expect(storyOf(event("DeliveryDeadLettered", { before: "received", after: "dead", outcome: { destination: "ci", failure } }))).toMatchObject({
    title: "Given up",
    text: "ci · answered 422 Unprocessable Entity",
    tone: "bad",
  });
  const asked = { to: "processing", destinations: ["ci"], requestedBy: "loopback", reason: "the receiver lost it" };
  expect(storyOf(event("DeliveryReplayRequested", { outcome: asked })).text).toBe("to ci · by loopback · “the receiver lost it”");
  expect(storyOf(event("DeliveryProcessed", { outcome: { destination: "ci", attempt: { response: { status: 200 } } } })).text).toBe("ci · answered 200");
});

test("an event of a later version is told by its name", () => {
  expect(storyOf(event("DeliveryPutAside", { before: "received", after: "aside" }))).toEqual({ title: "Put aside", text: "received → aside", tone: "idle" });
});
