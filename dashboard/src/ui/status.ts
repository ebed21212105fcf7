// What the words for states mean to the eye: a tone, and how it is written.

export type Tone = "ok" | "warn" | "bad" | "info" | "idle";

const TONES: Record<string, Tone> = {
  processed: "ok",
  healthy: "ok",
  ok: "ok",
  success: "ok",
  completed: "ok",
  live: "ok",
  active: "ok",
  done: "ok",
  closed: "ok",
  idle: "idle",
  received: "info",
  processing: "info",
  in_progress: "info",
  running: "info",
  building: "info",
  "catching-up": "info",
  open: "info",
  busy: "info",
  begun: "info",
  expired: "idle",
  revoked: "idle",
  retrying: "warn",
  degraded: "warn",
  paused: "warn",
  "half-open": "warn",
  queued: "warn",
  waiting: "warn",
  action_required: "warn",
  stopped: "warn",
  dead: "bad",
  failed: "bad",
  refused: "bad",
  failure: "bad",
  unhealthy: "bad",
  down: "bad",
  unavailable: "bad",
  timed_out: "bad",
  startup_failure: "bad",
};

export const toneOf = (state: string): Tone => TONES[state] ?? "idle";

/** `in_progress` reads `in progress`, `dead` reads `failed`. */
export const wordOf = (state: string): string => (state === "dead" ? "failed" : state.replaceAll("_", " ").replaceAll("-", " "));
