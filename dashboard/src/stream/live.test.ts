import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Delivery } from "../api/types";
import { filterOf } from "./filter";
import { LiveStream } from "./live.svelte";

const LOG = "6eb3ecab-0fab-457b-9013-12cb2a6ea271";
const second = (n: number) => new Date(Date.UTC(2026, 10, 28, 8, 0, n)).toISOString();
const row = (n: number, status = "received") => ({ id: `d${n}`, status, attempts: 0, event: "push", timestamp: second(n) }) as Delivery;

/** The server as the stream sees it. */
class FakeSource {
  static all: FakeSource[] = [];
  static readonly CLOSED = 2;
  readyState = 1;
  onopen = () => {};
  onmessage = (_: { data: string; lastEventId: string }) => {};
  onerror = () => {};
  #named = new Map<string, (event: { data: string; lastEventId: string }) => void>();

  constructor(readonly address: string) {
    FakeSource.all.push(this);
  }
  addEventListener(name: string, listener: (event: { data: string; lastEventId: string }) => void): void {
    this.#named.set(name, listener);
  }
  close(): void {
    this.readyState = FakeSource.CLOSED;
  }
  get after(): string | null {
    return new URL(this.address, "http://x").searchParams.get("after");
  }
  row(position: number, delivery: Delivery): void {
    this.onmessage({ data: JSON.stringify(delivery), lastEventId: `${LOG}:${position}` });
  }
  status(position: number, change: Partial<Delivery>): void {
    this.#named.get("status")?.({ data: JSON.stringify(change), lastEventId: `${LOG}:${position}` });
  }
}

let asked: string[];
let answers: Record<string, () => unknown>;
/** What answers wait for. */
let gate: Promise<void>;

function server(): void {
  vi.stubGlobal("fetch", async (address: string, { signal }: { signal?: AbortSignal } = {}) => {
    asked.push(address);
    await gate;
    if (signal?.aborted) throw new DOMException("gone", "AbortError");
    const path = address.split("?")[0] ?? "";
    const data = answers[path]?.();
    return data === undefined ? new Response("{}", { status: 403 }) : Response.json({ data });
  });
}
const projections = (position: number, head: number) => ({ logId: LOG, head, relay: null, projections: [{ name: "deliveries", position }] });
const page = (events: Delivery[]) => ({ events, nextCursor: null });

async function opened(filter = ""): Promise<{ live: LiveStream; stop: () => void; source: () => FakeSource }> {
  const live = new LiveStream(filterOf(new URLSearchParams(filter)));
  const stop = live.start();
  await vi.advanceTimersByTimeAsync(10);
  return { live, stop, source: () => FakeSource.all.at(-1) as FakeSource };
}
const ids = (live: LiveStream) => live.rows.map(({ id }) => id);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
  asked = [];
  answers = {};
  gate = Promise.resolve();
  FakeSource.all = [];
  vi.stubGlobal("EventSource", FakeSource);
  vi.stubGlobal("document", { hidden: false });
  vi.stubGlobal("requestAnimationFrame", (show: () => void) => setTimeout(show, 16));
  server();
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

test("the stream begins where the list stands, so that nothing between them is missing", async () => {
  answers["/api/projections"] = () => projections(40, 57);
  answers["/api/webhooks/events"] = () => page([row(2), row(1)]);
  const { live, source } = await opened();
  expect(source().after).toBe(`${LOG}:40`);
  // The list was asked after its place was: it has at least what is up to there.
  expect(asked.map((address) => address.split("?")[0])).toEqual(["/api/projections", "/api/webhooks/events"]);
  source().row(50, row(3));
  // Of a delivery that the list did not have in view.
  source().status(51, { id: "d0", status: "dead", processed: false, attempts: 2 });
  await vi.advanceTimersByTimeAsync(200);
  expect(ids(live)).toEqual(["d3", "d2", "d1"]);
  expect(live.perSecond).toBe(0);
});

test("beyond what a page can keep it begins later, and says what is left out", async () => {
  answers["/api/projections"] = () => projections(40, 1_000_040);
  answers["/api/webhooks/events"] = () => page([]);
  const { live, source } = await opened();
  expect([source().after, live.leftOut]).toEqual([`${LOG}:990040`, 990_000]);
});

test("who is not told where the list stands reads it again", async () => {
  answers["/api/webhooks/events"] = () => page([row(1)]);
  const { live, source } = await opened();
  expect(source().after).toBe(null);
  source().row(60, row(3));
  answers["/api/webhooks/events"] = () => page([row(3), row(2), { ...row(1), status: "processed" }]);
  await vi.advanceTimersByTimeAsync(2000);
  expect(ids(live)).toEqual(["d3", "d2", "d1"]);
  expect(live.rows[2]?.status).toBe("processed");
});

test("what a pause could not keep is read again from where it began, and stands where it belongs", async () => {
  answers["/api/projections"] = () => projections(10, 10);
  answers["/api/webhooks/events"] = () => page([row(1)]);
  const { live, source } = await opened();
  source().row(11, row(2));
  await vi.advanceTimersByTimeAsync(200);
  live.pause();
  for (let n = 3; n <= 6002; n++) source().row(n + 9, row(n));
  await vi.advanceTimersByTimeAsync(200);
  expect([live.held, live.dropped, live.rows.length]).toEqual([5000, 1000, 2]);
  live.resume();
  expect([live.missed, live.rows.length]).toEqual([1000, 5002]);
  // Reading further down is another pause: it is no reason to forget where the first one began.
  live.hold(true);
  live.hold(false);
  live.reload();
  expect([source().after, live.missed]).toEqual([`${LOG}:11`, 0]);
  for (let n = 3; n <= 6002; n++) source().row(n + 9, row(n));
  await vi.advanceTimersByTimeAsync(200);
  expect(live.rows.length).toBe(6002);
  expect(ids(live)).toEqual(Array.from({ length: 6002 }, (_, n) => `d${6002 - n}`));
});

test("what may be missing stays said when nobody knows from where on", async () => {
  answers["/api/webhooks/events"] = () => page([]);
  const { live, source } = await opened();
  live.pause();
  for (let n = 1; n <= 5001; n++) source().row(n, row(n));
  await vi.advanceTimersByTimeAsync(200);
  live.resume();
  live.reload();
  expect(live.missed).toBe(1);
});

test("failed ones stay listed, however many others come", async () => {
  answers["/api/projections"] = () => projections(10, 10);
  answers["/api/webhooks/events"] = () => page([row(2, "dead"), row(1, "dead")]);
  const { live, source } = await opened("status=failed");
  for (let n = 3; n <= 12_003; n++) source().row(n + 9, row(n));
  await vi.advanceTimersByTimeAsync(200);
  expect(live.rows.length).toBe(10_000);
  expect(live.rows.filter(({ status }) => status === "dead").map(({ id }) => id)).toEqual(["d2", "d1"]);
});

test("another text wants what had to make room read again", async () => {
  answers["/api/projections"] = () => projections(10, 10);
  answers["/api/webhooks/events"] = () => page([row(1)]);
  const { live, source } = await opened("text=d1");
  for (let n = 2; n <= 10_002; n++) source().row(n + 9, row(n));
  await vi.advanceTimersByTimeAsync(200);
  expect(ids(live)).toContain("d1");
  live.look("d1");
  expect(FakeSource.all.length).toBe(1);
  live.look("");
  await vi.advanceTimersByTimeAsync(50);
  expect([FakeSource.all.length, FakeSource.all[0]?.readyState]).toEqual([2, FakeSource.CLOSED]);
  expect(ids(live)).toEqual(["d1"]);
});

test("a stream that was left asks nothing more", async () => {
  answers["/api/projections"] = () => projections(10, 10);
  answers["/api/webhooks/events"] = () => page([]);
  const { live, stop, source } = await opened();
  answers = {};
  source().readyState = FakeSource.CLOSED;
  source().onerror();
  await vi.advanceTimersByTimeAsync(5000);
  expect(live.connection).toBe("off");
  // The answer of a round is under way when the page is left.
  let answer = () => {};
  gate = new Promise((resolve) => (answer = resolve));
  await vi.advanceTimersByTimeAsync(2000);
  const before = asked.length;
  stop();
  answer();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([asked.length - before, FakeSource.all.length]).toEqual([0, 1]);
});
