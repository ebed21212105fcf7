// Secrets that are made here, for senders that do not make their own. Pure but for the random bytes, which are handed in.

/** How many random bytes a secret has. */
export const SECRET_BYTES = 32;

export const SCHEMES = [
  { value: "github", label: "GitHub" },
  { value: "gitlab", label: "GitLab" },
  { value: "linear", label: "Linear" },
  { value: "standard", label: "Standard Webhooks" },
  { value: "hmac", label: "Any HMAC" },
  { value: "token", label: "A token" },
  { value: "codegen", label: "Codegen" },
  { value: "claude-code", label: "Claude Code" },
] as const;

/** The secret as a source of this scheme reads it, the same as `hooklog source add` makes. */
export function secretOf(bytes: Uint8Array, scheme: string, encoding?: unknown): string {
  const base64 = () => btoa(String.fromCharCode(...bytes));
  if (scheme === "standard") return `whsec_${base64()}`;
  if (encoding === "base64" && ["hmac", "codegen", "claude-code"].includes(scheme)) return base64();
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const madeSecret = (scheme: string, encoding?: unknown): string => secretOf(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)), scheme, encoding);

/** What to do where the sender makes the secret itself, and what it is called there. */
export function hintFor(scheme: string): string {
  switch (scheme) {
    case "github":
      return "Enter it as the secret of the hook, with the content type application/json.";
    case "gitlab":
      return "Enter it as the secret token of the hook. A signing token GitLab makes itself: then type that one.";
    case "linear":
      return "Linear makes the secret itself: add the hook there first, and type the one that it shows.";
    case "standard":
      return "If the sender makes the secret itself (whsec_…), type that one.";
    default:
      return "Enter the same at the sender.";
  }
}

/** Whether the sender is known to make its own. */
export const isMadeThere = (scheme: string): boolean => scheme === "linear";
