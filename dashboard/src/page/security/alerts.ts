// What a security event is about, read from its payload. Pure. The fields are those of GitHub's webhook payloads.
import type { Tone } from "../../ui/status";

export interface Alert {
  title: string;
  /** As the sender calls it; of a secret that leaked no payload says one. */
  severity: string;
  state: string;
}

type Tree = { [key: string]: unknown };

const at = (value: unknown, ...path: string[]): unknown => path.reduce<unknown>((here, key) => (here !== null && typeof here === "object" ? (here as Tree)[key] : undefined), value);

function text(value: unknown, ...paths: string[]): string {
  for (const path of paths) {
    const found = at(value, ...path.split("."));
    if (typeof found === "string" && found !== "") return found;
  }
  return "";
}

export function alertOf(payload: unknown): Alert {
  const secret = text(payload, "alert.secret_type_display_name", "alert.secret_type");
  return {
    title:
      text(payload, "alert.security_advisory.summary", "security_advisory.summary", "repository_advisory.summary", "alert.rule.description", "alert.affected_package_name", "alert.rule.name") ||
      (secret ? `Secret: ${secret}` : ""),
    severity: text(
      payload,
      "alert.security_advisory.severity",
      "alert.security_vulnerability.severity",
      "security_advisory.severity",
      "repository_advisory.severity",
      "alert.rule.security_severity_level",
      "alert.severity",
      "alert.rule.severity",
    ).toLowerCase() || (secret ? "secret" : ""),
    state: text(payload, "alert.state", "repository_advisory.state"),
  };
}

const TONES: Record<string, Tone> = { critical: "bad", secret: "bad", high: "bad", error: "bad", medium: "warn", moderate: "warn", warning: "warn", low: "info", note: "info" };

export const severityTone = (severity: string): Tone => TONES[severity] ?? "idle";
