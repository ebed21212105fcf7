// What the palette offers for a text. Pure: pages and names are handed in.
import { pathOf } from "../router/route";
import type { MenuPage } from "../shell/pages";
import type { IconName } from "../ui/icons";

export interface Find {
  title: string;
  note: string;
  icon: IconName;
  address: string;
}

export interface Known {
  pages: readonly MenuPage[];
  repositories: readonly string[];
  events: readonly string[];
}

const EACH_MAX = 6;

export function findsFor(text: string, known: Known): Find[] {
  const wanted = text.trim();
  const lower = wanted.toLowerCase();
  const has = (name: string) => name.toLowerCase().includes(lower);
  const pages = known.pages
    .filter(({ title }) => has(title))
    .map(({ page, title, icon, key }): Find => ({ title, note: `g ${key}`, icon, address: pathOf(page) }));
  if (!wanted) return pages;
  const repositories = known.repositories
    .filter(has)
    .slice(0, EACH_MAX)
    .map((name): Find => ({ title: name, note: "repository", icon: "repositories", address: pathOf("repository", name) }));
  const events = known.events
    .filter(has)
    .slice(0, EACH_MAX)
    .map((event): Find => ({ title: event, note: "deliveries of this event", icon: "filter", address: `${pathOf("stream")}?${new URLSearchParams({ event })}` }));
  const delivery: Find = { title: wanted, note: "open the delivery of this id", icon: "search", address: pathOf("delivery", wanted) };
  const stream: Find = {
    title: wanted,
    note: "deliveries with this text",
    icon: "stream",
    address: `${pathOf("stream")}?${new URLSearchParams({ text: wanted })}`,
  };
  return looksLikeId(wanted) ? [delivery, ...pages, ...repositories, ...events, stream] : [...pages, ...repositories, ...events, stream, delivery];
}

/** Ids of senders are UUIDs, or long and full of digits; ours begin with the source. */
export function looksLikeId(text: string): boolean {
  return /^[0-9a-f]{8}-[0-9a-f]{4}/i.test(text) || (/^[\w.-]{16,}$/.test(text) && /\d/.test(text));
}
