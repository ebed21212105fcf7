// The live stream as the page sees it: rows, whether it is connected, and a pause that loses nothing silently.
import { ApiError, failure, get, withQuery } from "../api/client";
import type { Delivery, DeliveryPage } from "../api/types";
import { liveQuery, listQuery, type StreamFilter } from "./filter";
import { PauseBuffer } from "./pause-buffer";
import { type Change, StreamRows } from "./rows";

const ROWS_MAX = 10_000;
const PAUSED_MAX = 5_000;
const PAGE = 200;
/** Without the stream the list is read this often. */
const POLL_MS = 2000;
const RATE_MS = 2000;
/** Rows are shown this often at most: nobody reads faster, and scrolling stays smooth under any load. */
const SHOW_MS = 80;

type Item = { row: Delivery } | { change: Change };

export class LiveStream {
  rows = $state.raw<Delivery[]>([]);
  connection = $state<"connecting" | "live" | "waiting" | "off">("connecting");
  trouble = $state.raw<ApiError>();
  notice = $state("");
  isPaused = $state(false);
  /** Somebody reads further down: nothing moves under their eyes. */
  isHeld = $state(false);
  held = $state(0);
  dropped = $state(0);
  /** What a pause could not keep; it can be read again from the log. */
  missed = $state(0);
  perSecond = $state(0);
  isLoading = $state(true);
  hasOlder = $state(false);

  #store = new StreamRows(ROWS_MAX);
  #paused = new PauseBuffer<Item>(PAUSED_MAX);
  #incoming: Item[] = [];
  #source: EventSource | undefined;
  #timers = new Set<ReturnType<typeof setTimeout>>();
  #isPlanned = false;
  #shownAt = 0;
  #lastId = "";
  #pausedAt = "";
  #cursor: string | null | undefined;
  #arrived = 0;
  #since = performance.now();

  constructor(readonly filter: StreamFilter) {}

  start(): () => void {
    this.#connect();
    void this.#loadFirst();
    const rate = setInterval(() => this.#measure(), RATE_MS);
    return () => {
      clearInterval(rate);
      this.#source?.close();
      for (const timer of this.#timers) clearTimeout(timer);
    };
  }

  pause(): void {
    this.isPaused = true;
    if (this.held === 0) this.#pausedAt = this.#lastId;
  }

  resume(): void {
    this.isPaused = false;
    this.isHeld = false;
    this.#release();
  }

  hold(isHeld: boolean): void {
    if (isHeld && !this.isHeld && this.held === 0) this.#pausedAt = this.#lastId;
    this.isHeld = isHeld;
    if (!isHeld && !this.isPaused) this.#release();
  }

  #release(): void {
    const { items, dropped } = this.#paused.drain();
    this.held = 0;
    this.dropped = 0;
    if (dropped > 0) this.missed = dropped;
    if (items.length > 0) this.#take(items);
  }

  /** Reads what a pause could not keep out of the log, and goes on live from there. */
  reload(): void {
    this.missed = 0;
    if (this.#pausedAt) this.#connect(this.#pausedAt);
    else void this.#page();
  }

  async loadOlder(): Promise<void> {
    if (this.isLoading || !this.#cursor) return;
    await this.#page(this.#cursor);
  }

  /** Connects after an event; what to say of it is said until the next connection. */
  #connect(after = "", news = ""): void {
    this.#source?.close();
    this.connection = "connecting";
    const address = withQuery("/api/webhooks/stream", { ...liveQuery(this.filter), changes: true, after });
    const source = new EventSource(address);
    this.#source = source;
    source.onopen = () => {
      this.connection = "live";
      this.trouble = undefined;
      this.notice = news;
    };
    source.onmessage = (event: MessageEvent<string>) => {
      this.#lastId = event.lastEventId;
      this.#arrived++;
      this.#hear({ row: JSON.parse(event.data) as Delivery });
    };
    source.addEventListener("status", (event: MessageEvent<string>) => {
      this.#lastId = event.lastEventId;
      this.#hear({ change: JSON.parse(event.data) as Change });
    });
    source.addEventListener("notice", (event: MessageEvent<string>) => {
      this.notice = (JSON.parse(event.data) as { message: string }).message;
    });
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) void this.#fallBack(address);
      else this.connection = "waiting";
    };
  }

  /** A browser does not tell why it was refused: ask once more, and read the answer. */
  async #fallBack(address: string): Promise<void> {
    this.connection = "off";
    const stop = new AbortController();
    try {
      const response = await fetch(address, { signal: stop.signal });
      if (response.ok) return this.#later(() => this.#goOn(), POLL_MS);
      this.trouble = await failure(response);
    } catch {
      this.trouble = new ApiError(0, "UNREACHABLE", "The server does not answer");
    } finally {
      stop.abort();
    }
    if (this.trouble?.status === 409) {
      this.#lastId = "";
      return this.#goOn("The log is another one than before: what came in between may be missing here.");
    }
    this.#later(() => void this.#poll(), POLL_MS);
  }

  /** Right after what was heard last; where nothing was, the list has what came in meanwhile. */
  #goOn(news = ""): void {
    this.#connect(this.#lastId, news);
    if (!this.#lastId) void this.#page(undefined, true);
  }

  async #poll(): Promise<void> {
    if (this.connection !== "off") return;
    try {
      const page = await get<DeliveryPage>("/api/webhooks/events", { ...listQuery(this.filter), limit: PAGE });
      const known = new Set(this.#store.all().map(({ id }) => id));
      for (const row of page.events.toReversed()) {
        if (!known.has(row.id)) this.#arrived++;
        this.#hear(known.has(row.id) ? { change: row } : { row });
      }
      if (this.trouble?.isUnreachable || (this.trouble?.status ?? 0) >= 500) return this.#goOn();
    } catch {
      // It is said already; the next round tries again.
    }
    this.#later(() => void this.#poll(), POLL_MS);
  }

  async #loadFirst(): Promise<void> {
    await this.#page();
    // The list may lag a moment behind the stream: what came just before we were connected is in it soon.
    this.#later(() => void this.#page(undefined, true), 1500);
  }

  async #page(cursor?: string, isAgain = false): Promise<void> {
    this.isLoading = !isAgain;
    try {
      const page = await get<DeliveryPage>("/api/webhooks/events", { ...listQuery(this.filter), limit: PAGE, cursor });
      this.#store.addPage(page.events);
      if (!isAgain) this.#cursor = page.nextCursor;
      this.hasOlder = Boolean(this.#cursor) && this.#store.size < ROWS_MAX;
      this.rows = this.#store.all();
    } catch (error) {
      if (error instanceof ApiError) this.trouble ??= error;
    } finally {
      this.isLoading = false;
    }
  }

  #hear(item: Item): void {
    const waits = this.isPaused || (this.isHeld && !("change" in item && this.#store.has(item.change.id)));
    if (waits) this.#paused.push(item);
    else this.#incoming.push(item);
    this.#plan();
  }

  /** Within a frame, and rarely enough, however much comes; a hidden page has no frames. */
  #plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    const flush = () => {
      this.#isPlanned = false;
      this.held = this.#paused.size;
      this.dropped = this.#paused.dropped;
      if (this.#incoming.length > 0) this.#take(this.#incoming.splice(0));
    };
    const wait = SHOW_MS - (performance.now() - this.#shownAt);
    const show = () => {
      this.#shownAt = performance.now();
      flush();
    };
    if (document.hidden) this.#later(show, 500);
    else if (wait > 0) this.#later(() => requestAnimationFrame(show), wait);
    else requestAnimationFrame(show);
  }

  #take(items: Item[]): void {
    const fresh = items.flatMap((item) => ("row" in item ? [item.row] : []));
    this.#store.addNew(fresh);
    for (const item of items) if ("change" in item) this.#store.change(item.change);
    this.rows = this.#store.all();
  }

  #later(action: () => void, ms: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, ms);
    this.#timers.add(timer);
  }

  #measure(): void {
    const now = performance.now();
    this.perSecond = (this.#arrived * 1000) / (now - this.#since);
    this.#arrived = 0;
    this.#since = now;
  }
}
