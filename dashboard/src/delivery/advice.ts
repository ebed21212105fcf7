// What to do about a failure, by its code. The codes are those of the API; what they mean is in docs/destinations.md.

const ADVICE: Record<string, string> = {
  NETWORK_ERROR: "The destination could not be reached. See that it runs and that its address is right, then retry.",
  TIMEOUT_ERROR: "The destination took too long to answer. Make it answer first and work later, or raise its timeout_ms.",
  RATE_LIMIT_ERROR: "The destination wants fewer requests. Lower its concurrency, or retry later.",
  SERVICE_UNAVAILABLE: "The destination was in trouble itself. Retry once it is well again.",
  VALIDATION_ERROR: "The destination refused what it was sent: its answer says why. Retrying the same will fail again until one side changes.",
  AUTHENTICATION_ERROR: "The destination does not accept our credentials. Set its headers or secret right, then retry.",
  NOT_FOUND_ERROR: "Nothing is at the destination's address. Correct its url, then retry.",
  DUPLICATE_ERROR: "The destination says that it has it already. Nothing may be left to do.",
};

export function adviceFor(code: string | null | undefined): string {
  return ADVICE[code ?? ""] ?? "The attempts and the answers say more.";
}
