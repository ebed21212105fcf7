// What the stream is narrowed to. It lives in the address, so that a view can be sent to somebody. Pure.
import type { Delivery } from "../api/types";

export const FIELDS = ["source", "event", "action", "repository", "status", "text"] as const;

export type StreamFilter = Record<(typeof FIELDS)[number], string>;

/** What the server narrows a live stream by; the rest is looked at here. */
const LIVE_FIELDS = ["source", "event", "action", "repository"] as const;

export function filterOf(query: URLSearchParams): StreamFilter {
  const filter = {} as StreamFilter;
  for (const field of FIELDS) filter[field] = query.get(field)?.trim() ?? "";
  return filter;
}

/** The query for a filter, without what is empty. */
export function queryOf(filter: StreamFilter): URLSearchParams {
  const query = new URLSearchParams();
  for (const field of FIELDS) if (filter[field]) query.set(field, filter[field]);
  return query;
}

export function liveQuery(filter: StreamFilter): Record<string, string> {
  return Object.fromEntries(LIVE_FIELDS.map((field) => [field, filter[field]]).filter(([, value]) => value));
}

export function listQuery(filter: StreamFilter): Record<string, string> {
  return filter.status ? { ...liveQuery(filter), status: filter.status } : liveQuery(filter);
}

export const isNarrowed = (filter: StreamFilter): boolean => FIELDS.some((field) => filter[field] !== "");

const PENDING = new Set(["received", "processing", "retrying"]);

export function hasStatus(row: Delivery, status: string): boolean {
  if (status === "") return true;
  if (status === "pending") return PENDING.has(row.status);
  return row.status === (status === "failed" ? "dead" : status);
}

/** What is looked through of a row; put together once, as all rows are looked through whenever one comes. */
const searched = new WeakMap<Delivery, string>();

function searchedOf(row: Delivery): string {
  const known = searched.get(row);
  if (known !== undefined) return known;
  const name = row.action ? `${row.event}.${row.action}` : row.event;
  const all = [name, row.repository, row.sender, row.source, row.id, row.status, row.error, row.errorCode].join("\n").toLowerCase();
  searched.set(row, all);
  return all;
}

/** Whether every word of the text is somewhere in the row. */
export function hasText(row: Delivery, text: string): boolean {
  if (text === "") return true;
  const all = searchedOf(row);
  return text.toLowerCase().split(/\s+/).every((word) => all.includes(word));
}

export function visible(rows: readonly Delivery[], filter: StreamFilter): readonly Delivery[] {
  if (!filter.status && !filter.text) return rows;
  return rows.filter((row) => hasStatus(row, filter.status) && hasText(row, filter.text));
}
