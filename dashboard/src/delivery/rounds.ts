// Attempts of earlier rounds: those of the present one stand in the delivery, the others only in its history. Pure.
import type { Attempt, DeliveryDetail, Header } from "../api/types";

export interface Round {
  destination: string;
  round: string;
  attempts: Attempt[];
}

interface KeptAttempt {
  number: number;
  startedAt: string;
  durationUs: number;
  target: string;
  idempotencyKey: string;
  headers?: { added?: [string, string][]; leftOut?: string[] } | null;
  response?: { status: number; excerpt: string } | null;
  failure?: { code: string; message: string; retryable: boolean } | null;
}

interface Outcome {
  destination?: string;
  round?: string;
  attempt?: KeptAttempt | null;
  history?: KeptAttempt[] | null;
}

export function earlierRounds(detail: Pick<DeliveryDetail, "history" | "destinations" | "headers">): Round[] {
  const present = new Set(detail.destinations.map(({ name, round }) => `${name} ${round}`));
  const rounds = new Map<string, Round>();
  for (const { facts } of detail.history) {
    const outcome = (facts as { outcome?: Outcome } | null | undefined)?.outcome;
    if (!outcome?.destination || !outcome.round) continue;
    const key = `${outcome.destination} ${outcome.round}`;
    if (present.has(key)) continue;
    const round = rounds.get(key) ?? { destination: outcome.destination, round: outcome.round, attempts: [] };
    rounds.set(key, round);
    for (const kept of [...(outcome.history ?? []), ...(outcome.attempt ? [outcome.attempt] : [])]) {
      if (!round.attempts.some(({ number }) => number === kept.number)) round.attempts.push(attemptOf(kept, detail.headers));
    }
  }
  return [...rounds.values()].filter(({ attempts }) => attempts.length > 0).reverse();
}

/** What went out: the headers that the delivery came with, but those left out, and those added. */
function sentOf({ headers }: KeptAttempt, received: readonly Header[]): Header[] | undefined {
  if (!headers) return undefined;
  const leftOut = new Set(headers.leftOut);
  const added = (headers.added ?? []).map(([name, value]) => ({ name, value }));
  return [...received.filter(({ name }) => !leftOut.has(name.toLowerCase())), ...added];
}

function attemptOf(kept: KeptAttempt, received: readonly Header[]): Attempt {
  return {
    number: kept.number,
    startedAt: kept.startedAt,
    durationMs: kept.durationUs / 1000,
    target: kept.target,
    idempotencyKey: kept.idempotencyKey,
    headers: sentOf(kept, received),
    response: kept.response ?? undefined,
    error: kept.failure?.message,
    errorCode: kept.failure?.code,
    retryable: kept.failure?.retryable,
  };
}
