import { expect, test } from "vitest";
import { alertOf, severityTone } from "./alerts";

test("title, severity and state of each kind of alert are found", () => {
  expect(alertOf({ alert: { state: "open", security_advisory: { summary: "ReDoS", severity: "HIGH" } } })).toEqual({ title: "ReDoS", severity: "high", state: "open" });
  expect(alertOf({ alert: { state: "fixed", rule: { description: "SQL injection", severity: "error" } } })).toMatchObject({ title: "SQL injection", severity: "error" });
  expect(alertOf({ alert: { secret_type: "adafruit_io_key" } })).toMatchObject({ title: "Secret: adafruit_io_key", severity: "secret" });
});

test("what is no alert has no title and no severity", () => {
  expect([alertOf(null).title, alertOf([1]).severity, severityTone("unheard of")]).toEqual(["", "", "idle"]);
});
