// The one way to the API: unwraps its envelope, and turns whatever went wrong into an ApiError that a person can act on.

export class ApiError extends Error {
  override name = "ApiError";

  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string | null = null,
    readonly retryAfterSeconds: number | null = null,
  ) {
    super(message);
  }

  /** Whether nobody answered at all. */
  get isUnreachable(): boolean {
    return this.code === "UNREACHABLE";
  }
}

export type Query = Record<string, string | number | boolean | null | undefined>;

/** A path with the parameters that have a value. */
export function withQuery(path: string, query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  if (given.length === 0) return path;
  return `${path}?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

let onUnauthorised: () => void = () => {};

/** What happens when the API no longer knows us. */
export function whenUnauthorised(action: () => void): void {
  onUnauthorised = action;
}

async function request<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const response = await ask(method, path, body, signal);
  return ((await response.json()) as { data: T }).data;
}

/** The good answer to a request. */
async function ask(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
  const response = await fetch(path, {
    method,
    signal,
    credentials: "same-origin",
    headers: body === undefined ? { Accept: "application/json" } : { Accept: "application/json", "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  }).catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "UNREACHABLE", "The server does not answer. Is it running, and are you online?");
  });
  if (response.ok) return response;
  const error = await failure(response);
  if (error.status === 401 && !path.startsWith("/api/login")) onUnauthorised();
  throw error;
}

/** The error of an answer that is none of ours (a proxy's, say) included. */
export async function failure(response: Response): Promise<ApiError> {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  try {
    const { error } = (await response.json()) as { error: { code: string; message: string; requestId?: string } };
    return new ApiError(response.status, error.code, error.message, error.requestId ?? null, retryAfter);
  } catch {
    const message = `The server answered ${response.status} ${response.statusText}`.trim();
    return new ApiError(response.status, `HTTP_${response.status}`, message, response.headers.get("X-Request-Id"), retryAfter);
  }
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> => request<T>("GET", withQuery(path, query), undefined, signal);
/** The text of an answer, for whoever reads it in a way of their own. */
export const getText = (path: string, query?: Query, signal?: AbortSignal): Promise<string> => ask("GET", withQuery(path, query), undefined, signal).then((response) => response.text());
export const post = <T>(path: string, body?: unknown): Promise<T> => request<T>("POST", path, body);
export const remove = <T>(path: string): Promise<T> => request<T>("DELETE", path);

/** One segment of a path. */
export const segment = encodeURIComponent;
