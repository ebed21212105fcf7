// What the reasons of a rejection mean, and where to look. The reasons are those of docs/operations.md.

const REASONS: Record<string, [string, string]> = {
  signature_invalid: [
    "Signature does not fit",
    "Another secret at the sender, a hook with a secret of its own, or a proxy that re-encodes the body. The command hooklog verify says which.",
  ],
  too_old: ["Too old", "The signature was right, the time was not: compare the clocks of both sides, and the source's tolerance_ms."],
  header_missing: ["A header is missing", "The message names it. A proxy may drop it, or something other than the sender is calling."],
  header_duplicated: ["A header came twice", "The message names it. A proxy may double it."],
  header_invalid: ["A header can't be read", "The message names it."],
  content_type: ["Wrong content type", "Set the hook to JSON, or to a form."],
  not_json_object: ["Not a JSON object", "The signature was right, so the sender sends something else than is expected of its scheme."],
  body_too_large: ["Body too large", "Compare the announced bytes with ingest.body_bytes_max."],
  body_timeout: ["Body came too slowly", "The network, or a proxy between."],
  body_incomplete: ["Body was cut off", "The sender announced more than came: the network, or a proxy between."],
  address_not_allowed: ["Address not allowed", "See the addresses of the source."],
  user_agent_refused: ["User agent refused", "The source takes requests of its sender only (user_agent_check)."],
  address_rate: ["Too many of one address", "See ingest.address_rate_per_minute. GitHub does not send again."],
  source_rate: ["Too many of the source", "See source_rate_per_minute. GitHub does not send again."],
  repository_rate: ["Too many of one repository", "See repository_rate_per_minute. GitHub does not send again."],
};

export interface Reason {
  title: string;
  advice: string;
}

export function reasonOf(reason: string): Reason {
  const known = REASONS[reason];
  if (known) return { title: known[0], advice: known[1] };
  const words = reason.replaceAll("_", " ");
  return { title: words.charAt(0).toUpperCase() + words.slice(1), advice: "The message of each request says more." };
}
