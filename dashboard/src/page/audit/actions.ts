// What the audit trail calls the things that are done, in words. Pure; the names are those of the API.

const WORDS: Record<string, string> = {
  login: "Logged in",
  "replay.start": "Started a replay",
  "replay.one": "Replayed a delivery",
  "replay.dead": "Retried dead letters",
  "replay.cancel": "Cancelled a replay",
  "delivery.test": "Sent a test delivery",
  "delivery.verify": "Checked a signature",
  "destination.pause": "Paused a destination",
  "destination.resume": "Resumed a destination",
  "source.add": "Added a source",
  "source.change": "Changed a source",
  "source.remove": "Removed a source",
  "source.pause": "Paused a source",
  "source.resume": "Resumed a source",
  "source.secret.add": "Added a secret",
  "source.secret.revoke": "Revoked a secret",
  "source.rotate": "Rotated a secret",
  "source.reseal": "Encrypted the secrets anew",
  "projection.rebuild": "Rebuilt a projection",
  "projection.abort": "Gave up a rebuild",
  "projection.verify": "Verified a projection",
  "key.create": "Made a key",
  "key.revoke": "Revoked a key",
};

/** An action that this version does not know reads as it is called. */
export const actionWords = (action: string): string => WORDS[action] ?? action;

/** What to narrow by: groups of actions, as the API takes them. */
export const ACTIONS: readonly (readonly [string, string])[] = [
  ["login", "Logins"],
  ["replay", "Replays and retries"],
  ["destination", "Destinations"],
  ["source", "Sources"],
  ["key", "Keys"],
  ["projection", "Projections"],
  ["delivery", "Tests and checks"],
];

export const OUTCOMES = ["done", "failed", "refused", "begun"] as const;
