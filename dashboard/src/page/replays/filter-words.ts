// A replay's filter as a person would say it. Pure.
import type { Replay } from "../../api/types";
import { clock } from "../../format/time";

export function filterWords({ filter, deadOnly, destinations }: Pick<Replay, "filter" | "deadOnly" | "destinations">): string {
  const parts: string[] = [];
  if (filter.delivery) parts.push(filter.delivery);
  const cause = filter.error ?? filter.errorCode;
  if (deadOnly) parts.push(cause ? `dead letters: ${cause}` : "all dead letters");
  if (filter.event) parts.push(filter.action ? `${filter.event}.${filter.action}` : filter.event);
  else if (filter.action) parts.push(`action ${filter.action}`);
  if (filter.repository) parts.push(`in ${filter.repository}`);
  if (filter.source) parts.push(`of ${filter.source}`);
  if (filter.status && !deadOnly) parts.push(filter.status === "dead" ? "failed" : filter.status);
  if (filter.from) parts.push(`from ${clock(filter.from)}`);
  if (filter.to) parts.push(`until ${clock(filter.to)}`);
  if (parts.length === 0) parts.push("everything");
  if (destinations.length > 0) parts.push(`to ${destinations.join(", ")}`);
  return parts.join(" ");
}
