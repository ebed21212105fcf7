// Where the stream has to begin, so that there is no hole between the list, which follows the log, and what comes live.
import { get } from "../api/client";
import type { Projections } from "../api/types";

/** So far behind the head of the log a stream begins at most: beyond, the page could not keep the rows anyway. */
const BEHIND_MAX = 10_000;

export interface Place {
  /** `<logId>:<position>`: what the list had reached before it was read. */
  after: string;
  /** The end of the log then: what comes after it comes live. */
  head: number;
  /** Events that are left out, because the list is that far behind. */
  leftOut: number;
}

export function placeOf({ logId, head, projections }: Projections): Place | undefined {
  const list = projections.find(({ name }) => name === "deliveries");
  if (!list) return undefined;
  const position = Math.max(list.position, head - BEHIND_MAX);
  return { after: `${logId}:${position}`, head, leftOut: position - list.position };
}

/** Ask it before the list is read. Keys of other tenants than the one of the instance are not told. */
export async function askPlace(signal: AbortSignal): Promise<Place | undefined> {
  try {
    return placeOf(await get<Projections>("/api/projections", {}, signal));
  } catch {
    return undefined;
  }
}

/** The position in `<logId>:<position>`; -1 where there is none. */
export function positionOf(id: string): number {
  const position = Number(id.slice(id.lastIndexOf(":") + 1));
  return id !== "" && Number.isFinite(position) ? position : -1;
}
