// What a page shows, kept fresh: read at once, then every so often while somebody can see it.
import { untrack } from "svelte";
import { ApiError } from "../api/client";

export interface Polled<T> {
  readonly data: T | undefined;
  readonly error: ApiError | undefined;
  /** Whether the first answer is still awaited. */
  readonly isPending: boolean;
  refresh(): void;
}

/**
 * Call it while a component starts. `read` may use state: when that changes, it is read again at once, and what was there
 * stays until the answer is there. An interval of 0 reads once.
 *
 * `about` is what the page says of the answer in words of its own, the window of time above all. When that changes, the answer
 * that was there is no answer any more: a figure never stands under a window that it is not of.
 */
export function poll<T>(
  read: (signal: AbortSignal) => Promise<T>,
  interval: number | ((data: T | undefined) => number),
  about: () => string | number = () => "",
): Polled<T> {
  let answer = $state.raw<{ about: string | number; data?: T; error?: ApiError }>();
  let again = $state(0);
  const current = $derived(answer?.about === about() ? answer : undefined);

  $effect(() => {
    void again;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isRunning = false;
    const asked = about();

    async function run(promise: Promise<T>): Promise<void> {
      isRunning = true;
      clearTimeout(timer);
      try {
        const data = await promise;
        if (!stop.signal.aborted) answer = { about: asked, data };
      } catch (caught) {
        if (stop.signal.aborted) return;
        const error = caught instanceof ApiError ? caught : new ApiError(0, "UNEXPECTED", String(caught));
        answer = { about: asked, data: answer?.about === asked ? answer.data : undefined, error };
      } finally {
        isRunning = false;
        if (!stop.signal.aborted) plan();
      }
    }
    function plan(): void {
      clearTimeout(timer);
      const intervalMs = typeof interval === "number" ? interval : interval(answer?.data);
      if (!document.hidden && intervalMs > 0) timer = setTimeout(() => void run(read(stop.signal)), wait(answer?.error, intervalMs));
    }
    function seen(): void {
      if (!document.hidden && !isRunning) void run(read(stop.signal));
    }

    document.addEventListener("visibilitychange", seen);
    void run(read(stop.signal));
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  });

  return {
    get data() {
      return current?.data;
    },
    get error() {
      return current?.error;
    },
    get isPending() {
      return current === undefined;
    },
    // Asked for from an effect, it is no reason to run that effect again.
    refresh: () => untrack(() => void again++),
  };
}

/** A server that is in trouble is asked less often, and not before it wants to be. */
function wait(error: ApiError | undefined, intervalMs: number): number {
  if (!error) return intervalMs;
  return Math.max(intervalMs * 2, (error.retryAfterSeconds ?? 0) * 1000);
}

/** The time, for ages on the page; moves on every few seconds. */
class Clock {
  now = $state(Date.now());

  constructor() {
    setInterval(() => {
      if (!document.hidden) this.now = Date.now();
    }, 5000);
  }
}

export const clockNow = new Clock();
