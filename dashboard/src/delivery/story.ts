// An event of a delivery's stream in words. Pure.
import type { HistoryEvent } from "../api/types";
import type { Tone } from "../ui/status";

export interface Story {
  title: string;
  text: string;
  tone: Tone;
}

interface Facts {
  before?: string;
  after?: string;
  outcome?: {
    destination?: string;
    destinations?: string[];
    requestedBy?: string;
    reason?: string | null;
    nextAttemptAt?: string | null;
    attempt?: { number?: number; response?: { status: number } | null; failure?: { message: string } | null } | null;
    failure?: { message: string } | null;
    skipped?: string | null;
  };
}

const TITLES: Record<string, [string, Tone]> = {
  DeliveryReceived: ["Received", "info"],
  DeliveryProcessed: ["Processed", "ok"],
  DeliveryDelivered: ["Handed on", "ok"],
  DeliverySucceeded: ["Handed on", "ok"],
  DeliverySkipped: ["Nothing to send", "idle"],
  DeliveryFailed: ["Failed, to be tried again", "warn"],
  DeliveryDeadLettered: ["Given up", "bad"],
  DeliveryReplayRequested: ["Replay asked for", "info"],
  DeliveryRetryRequested: ["Retry asked for", "info"],
};

export function storyOf(event: HistoryEvent): Story {
  const facts = (event.facts ?? {}) as Facts;
  const [title, tone] = TITLES[event.type] ?? [wordsOf(event.type), "idle" as Tone];
  return { title, tone, text: textOf(facts) };
}

function textOf({ outcome, before, after }: Facts): string {
  const parts: string[] = [];
  if (outcome?.destination) parts.push(outcome.destination);
  const status = outcome?.attempt?.response?.status;
  const failure = outcome?.attempt?.failure?.message ?? outcome?.failure?.message;
  if (failure) parts.push(failure);
  else if (status) parts.push(`answered ${status}`);
  if (outcome?.skipped) parts.push(outcome.skipped);
  if (outcome?.destinations?.length) parts.push(`to ${outcome.destinations.join(", ")}`);
  if (outcome?.requestedBy) parts.push(`by ${outcome.requestedBy}`);
  if (outcome?.reason) parts.push(`“${outcome.reason}”`);
  if (parts.length === 0 && before && after && before !== after) parts.push(`${before} → ${after}`);
  return parts.join(" · ");
}

/** `DeliveryArchived` reads `Archived`. */
function wordsOf(type: string): string {
  const words = type.replace(/^Delivery/, "").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}
