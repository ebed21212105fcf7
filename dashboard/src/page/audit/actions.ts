// What the audit trail calls the things that are done, in words. Pure; the names are those of the API. Whether it was done says its
// outcome, so the words do not.

const WORDS: Record<string, string> = {
  login: "Log in",
  "replay.start": "Start a replay",
  "replay.one": "Replay a delivery",
  "replay.dead": "Retry dead letters",
  "replay.cancel": "Cancel a replay",
  "delivery.test": "Send a test delivery",
  "delivery.verify": "Check a signature",
  "destination.pause": "Pause a destination",
  "destination.resume": "Resume a destination",
  "source.add": "Add a source",
  "source.change": "Change a source",
  "source.remove": "Remove a source",
  "source.pause": "Pause a source",
  "source.resume": "Resume a source",
  "source.secret.add": "Add a secret",
  "source.secret.revoke": "Revoke a secret",
  "source.rotate": "Rotate a secret",
  "source.reseal": "Encrypt the secrets anew",
  "projection.rebuild": "Rebuild a projection",
  "projection.abort": "Give up a rebuild",
  "projection.verify": "Verify a projection",
  // What was refused without being an action of its own, by the scope that it needs.
  read: "Look at something",
  operate: "Have something done",
  admin: "Say who may ask",
  "key.create": "Make a key",
  "key.revoke": "Revoke a key",
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
