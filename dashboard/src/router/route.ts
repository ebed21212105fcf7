// Which page an address means, and the address of a page. Pure, so that it can be tested; router.svelte.ts holds the state.

export const BASE = "/dashboard";

export type PageName =
  | "overview"
  | "stream"
  | "delivery"
  | "failed"
  | "rejected"
  | "security"
  | "repositories"
  | "repository"
  | "jobs"
  | "replays"
  | "sources"
  | "projections"
  | "keys"
  | "audit"
  | "login"
  | "missing";

export interface Route {
  page: PageName;
  /** The id of a delivery, the name of a repository. */
  subject: string;
}

const PLAIN: readonly PageName[] = [
  "stream",
  "failed",
  "rejected",
  "security",
  "repositories",
  "jobs",
  "replays",
  "sources",
  "projections",
  "keys",
  "audit",
  "login",
];

export function routeOf(pathname: string): Route {
  const path = pathname.startsWith(BASE) ? pathname.slice(BASE.length) : pathname;
  const [first = "", ...rest] = path.split("/").filter(Boolean).map(decoded);
  if (first === "") return { page: "overview", subject: "" };
  const subject = rest.join("/");
  if (first === "deliveries" && subject) return { page: "delivery", subject };
  if (first === "repositories" && subject) return { page: "repository", subject };
  const plain = PLAIN.find((page) => page === first);
  return plain && !subject ? { page: plain, subject: "" } : { page: "missing", subject: "" };
}

export function pathOf(page: PageName, subject = ""): string {
  switch (page) {
    case "overview":
      return `${BASE}/`;
    case "delivery":
      return `${BASE}/deliveries/${encodeURIComponent(subject)}`;
    case "repository":
      return `${BASE}/repositories/${subject.split("/").map(encodeURIComponent).join("/")}`;
    default:
      return `${BASE}/${page}`;
  }
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
