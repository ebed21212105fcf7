// The live stream as the page sees it: rows, whether it is connected, and a pause that loses nothing silently.
import { ApiError, failure, get, withQuery } from "../api/client";
import type { Delivery, DeliveryPage } from "../api/types";
import { hasStatus, hasText, liveQuery, listQuery, type StreamFilter } from "./filter";
import { PauseBuffer } from "./pause-buffer";
import { askPlace, positionOf } from "./place";
import { type Change, StreamRows } from "./rows";

const ROWS_MAX = 10_000;
const PAUSED_MAX = 5_000;
const PAGE = 200;
/** Without the stream the list is read this often. */
const POLL_MS = 2000;
const RATE_MS = 2000;
/** Rows are shown this often at most: nobody reads faster, and scrolling stays smooth under any load. */
const SHOW_MS = 80;

/** Without a place in the log the list is read again after so long: it may lag a moment behind the stream. */
const AGAIN_MS = 1500;

/** A newer server says what position of the log the page stands for. */
type PageOfList = DeliveryPage & { position?: string | null };
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
  /** Deliveries that were looked through. */
  looked = $state(0);
  /** Whether older ones had to go, for want of room. */
  isCut = $state(false);
  /** Events between the list and the stream that are in neither, because the list is so far behind. */
  leftOut = $state(0);

  #stop = new AbortController();
  #store = new StreamRows(ROWS_MAX);
  #paused = new PauseBuffer<Item>(PAUSED_MAX);
  #incoming: Item[] = [];
  #source: EventSource | undefined;
  #timers = new Set<ReturnType<typeof setTimeout>>();
  #isPlanned = false;
  #shownAt = 0;
  #lastId = "";
  #pausedAt = "";
  #missedFrom = "";
  #cursor: string | null | undefined;
  /** What is older than the rows that are here begins at this time, where rows had to go. */
  #until: string | undefined;
  #liveFrom = -1;
  #text: string | undefined;
  #arrived = 0;
  #since = performance.now();

  constructor(readonly filter: StreamFilter) {
    // Everything is started by start(): this only says what is kept.
    this.look(filter.text);
  }

  start(): () => void {
    void this.#open();
    const rate = setInterval(() => this.#measure(), RATE_MS);
    return () => {
      this.#stop.abort();
      clearInterval(rate);
      this.#source?.close();
      for (const timer of this.#timers) clearTimeout(timer);
    };
  }

  /** The text that is looked for; what does not fit makes room for what does. */
  look(text: string): void {
    if (text === this.#text) return;
    this.#text = text;
    const { status } = this.filter;
    if (this.#store.isSparse) this.#restart();
    this.#store.look(status || text ? (row) => hasStatus(row, status) && hasText(row, text) : undefined);
  }

  #restart(): void {
    this.#source?.close();
    this.#store.clear();
    this.#incoming = [];
    this.#lastId = "";
    this.rows = [];
    void this.#open();
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
    if (dropped > 0 && this.missed === 0) this.#missedFrom = this.#pausedAt;
    this.missed += dropped;
    if (items.length > 0) this.#take(items);
  }

  /** Reads what a pause could not keep out of the log, and goes on live from there. */
  reload(): void {
    // Where nobody knows from where on, the newest are read, and what may be missing stays said.
    if (!this.#missedFrom) return void this.#page({}, true);
    this.missed = 0;
    this.#connect(this.#missedFrom);
  }

  async loadOlder(): Promise<void> {
    if (this.isLoading || !this.hasOlder) return;
    const { cutAt } = this.#store;
    if (cutAt && cutAt !== this.#until) {
      this.#until = cutAt;
      this.#cursor = undefined;
    }
    // Those of the same millisecond included: each is here once.
    const endDate = this.#until && new Date(Date.parse(this.#until) + 1).toISOString();
    await this.#page({ cursor: this.#cursor ?? undefined, endDate });
  }

  /** Everything from the beginning: the stream from where the list stands. */
  async #open(news = ""): Promise<void> {
    this.#cursor = undefined;
    this.#until = undefined;
    const place = await askPlace(this.#stop.signal);
    if (this.#stop.signal.aborted) return;
    this.leftOut = place?.leftOut ?? 0;
    this.#liveFrom = place?.head ?? -1;
    if (place) this.#connect(place.after, news);
    const page = await this.#page({});
    if (place || this.#stop.signal.aborted) return;
    this.#connect(page?.position ?? "", news);
    if (!page?.position) this.#later(() => void this.#page({}, true), AGAIN_MS);
  }

  /** Connects after an event; what to say of it is said until the next connection. */
  #connect(after: string, news = ""): void {
    if (this.#stop.signal.aborted) return;
    this.#source?.close();
    this.#lastId = after;
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
      if (positionOf(event.lastEventId) > this.#liveFrom) this.#arrived++;
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
      const response = await fetch(address, { signal: AbortSignal.any([stop.signal, this.#stop.signal]) });
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

  /** Right after what was heard last; where nothing was, from where the list stands. */
  #goOn(news = ""): void {
    if (this.#lastId) this.#connect(this.#lastId, news);
    else void this.#open(news);
  }

  async #poll(): Promise<void> {
    if (this.connection !== "off") return;
    try {
      const page = await get<DeliveryPage>("/api/webhooks/events", { ...listQuery(this.filter), limit: PAGE }, this.#stop.signal);
      for (const row of page.events.toReversed()) {
        if (!this.#store.has(row.id)) this.#arrived++;
        this.#hear(this.#store.has(row.id) ? { change: row } : { row });
      }
      if (this.trouble?.isUnreachable || (this.trouble?.status ?? 0) >= 500) return this.#goOn();
    } catch {
      // It is said already; the next round tries again.
    }
    this.#later(() => void this.#poll(), POLL_MS);
  }

  async #page(more: { cursor?: string; endDate?: string }, isAgain = false): Promise<PageOfList | undefined> {
    this.isLoading = !isAgain;
    try {
      const page = await get<PageOfList>("/api/webhooks/events", { ...listQuery(this.filter), limit: PAGE, ...more }, this.#stop.signal);
      this.#store.addPage(page.events);
      if (!isAgain) this.#cursor = page.nextCursor;
      this.#show();
      return page;
    } catch (error) {
      if (error instanceof ApiError) this.trouble ??= error;
      return undefined;
    } finally {
      this.isLoading = false;
    }
  }

  #show(): void {
    this.rows = this.#store.all();
    this.looked = this.#store.read;
    this.isCut = this.#store.cutAt !== undefined;
    this.hasOlder = (Boolean(this.#cursor) || this.isCut) && !this.#store.isFull;
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
    this.#show();
  }

  #later(action: () => void, ms: number): void {
    if (this.#stop.signal.aborted) return;
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
