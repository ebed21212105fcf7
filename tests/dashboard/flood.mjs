// The stream page while more comes than anybody reads: it keeps up, a pause beyond what a page keeps loses nothing, and a server
// that is started anew is found again. How smooth it is, is told; a page that hangs fails. Usage: node flood.mjs FACTS, a JSON of
// { base, secret, watched, restart }: the server is to be started anew once the file `restart` is there, which then goes.
import { execFile } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { Browser, eventually, expect } from "./browser.mjs";

const { base, secret, watched, restart } = JSON.parse(process.argv[2]);
/** More than a paused page keeps. */
const PAUSED = 5500;
/** A frame that takes so long is a page that hangs. */
const HANGS_MS = 5000;
const LONG = 120_000;

let sent = 0;
/** Sends deliveries, as fast as they are taken; how many a second that was. */
async function send(count) {
  const facts = { base, secret, count, repositories: 50, first: sent };
  sent += count;
  const begun = performance.now();
  await promisify(execFile)("node", [join(import.meta.dirname, "../tools/fill.mjs"), JSON.stringify(facts)]);
  return Math.round((count * 1000) / (performance.now() - begun));
}

const list = (page) => page.getByRole("table", { name: /Deliveries/ });
/** How many deliveries the list has, however few of them are drawn. */
const listed = async (page) => Number(await list(page).getAttribute("aria-rowcount")) - 1;
const live = (page) => page.getByLabel("Connection").getByText("live").waitFor({ timeout: LONG });
async function all(page, what) {
  await eventually(what, async () => ((await listed(page)) === sent ? true : `${await listed(page)} of ${sent}`), LONG);
}

/** Times between frames, while something happens. */
async function frames(page, happens) {
  await page.evaluate(() => {
    window.gaps = [];
    let last = performance.now();
    const frame = (now) => {
      window.gaps.push(now - last);
      last = now;
      window.frame = requestAnimationFrame(frame);
    };
    window.frame = requestAnimationFrame(frame);
  });
  const result = await happens();
  const gaps = await page.evaluate(() => {
    cancelAnimationFrame(window.frame);
    return window.gaps.sort((a, b) => a - b);
  });
  const at = (share) => Math.round(gaps[Math.floor((gaps.length - 1) * share)]);
  return { result, median: at(0.5), p99: at(0.99), worst: at(1) };
}

/** Every row of the list, from the top to the end, the newest first. */
async function inOrder(page) {
  return page.evaluate(async () => {
    const box = document.querySelector("[role=table] .scroll");
    const seen = new Map();
    for (let top = 0; top < box.scrollHeight; top += box.clientHeight) {
      box.scrollTop = top;
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      for (const row of box.querySelectorAll("[role=row]")) seen.set(Number(row.ariaRowIndex), row.querySelector("time").dateTime);
    }
    box.scrollTop = 0;
    const times = [...seen].sort(([a], [b]) => a - b).map(([, time]) => time);
    return { count: times.length, wrong: times.filter((time, n) => n > 0 && time > times[n - 1]).length };
  });
}

/** A thousand events a second, whatever the server of a test can take: they are made in the page, where its stream would come in. */
async function isSmooth(page) {
  const [perTick, ticks] = [10, 500];
  await page.addInitScript(() => {
    window.EventSource = class {
      readyState = 1;
      constructor() {
        window.source = this;
        setTimeout(() => this.onopen());
      }
      addEventListener() {}
      close() {}
    };
  });
  await page.goto("/dashboard/stream");
  await live(page);
  const { result, median, p99, worst } = await frames(page, () =>
    page.evaluate(
      async ([perTick, ticks]) => {
        const begun = performance.now();
        let n = 0;
        await new Promise((done) => {
          const timer = setInterval(() => {
            // As many as are due: a timer that comes late has more to bring.
            const due = Math.min(perTick * ticks, Math.floor(performance.now() - begun));
            for (; n < due; n++) {
              const row = { id: `made-${n}`, deliveryId: `made-${n}`, source: "github", event: "push", repository: `octo-org/r${n % 50}`, sender: "octocat", status: "processed", attempts: 1, processingTimeMs: 12, timestamp: new Date().toISOString() };
              window.source.onmessage({ data: JSON.stringify(row), lastEventId: `log:${n + 1}` });
            }
            if (n < perTick * ticks) return;
            clearInterval(timer);
            done();
          }, 10);
        });
        return Math.round((n * 1000) / (performance.now() - begun));
      },
      [perTick, ticks],
    ),
  );
  await eventually("all of them are listed", async () => ((await listed(page)) === perTick * ticks ? true : await listed(page)), LONG);
  console.log(`${perTick * ticks} events at ${result} a second: a frame took ${median} ms (median), ${p99} ms (p99), ${worst} ms (worst)`);
  expect(worst < HANGS_MS, `the page does not hang: a frame took ${worst} ms`);
}

async function keepsUp(page) {
  await page.goto("/dashboard/stream");
  await live(page);
  const { result, median, p99, worst } = await frames(page, async () => {
    const perSecond = await send(watched);
    await all(page, "all that came is listed");
    return perSecond;
  });
  console.log(`${watched} deliveries at ${result} a second: a frame took ${median} ms (median), ${p99} ms (p99), ${worst} ms (worst)`);
  expect(worst < HANGS_MS, `the page does not hang: a frame took ${worst} ms`);
}

async function pausesBeyondItsBound(page) {
  const before = await listed(page);
  await page.getByRole("button", { name: "Pause" }).click();
  await send(PAUSED);
  await page.getByRole("button", { name: "Resume (5000)" }).waitFor({ timeout: LONG });
  await page.getByText(/had to go/).waitFor({ timeout: LONG });
  expect((await listed(page)) === before, "nothing moves while it is paused");
  await page.getByRole("button", { name: /^Resume/ }).click();
  await page.getByText(/were not kept meanwhile/).waitFor();
  expect((await listed(page)) < sent, "what the page says is missing is missing");
  await page.getByRole("button", { name: "Read them from the log" }).click();
  await all(page, "what a pause could not keep is read from the log");
  const { count, wrong } = await inOrder(page);
  expect(count === sent && wrong === 0, `the newest is first, all the way down: ${wrong} of ${count} are not where they belong`);
}

async function outlivesItsServer(page) {
  browser.expected.push({ path: "/api/", status: "ERR_" }, { path: "/api/", status: 503 }, { path: "/api/", status: 502 });
  writeFileSync(restart, "");
  await page.getByLabel("Connection").getByText(/reconnecting|every 2 s/).waitFor({ timeout: LONG });
  await eventually("the server is started anew", () => !existsSync(restart), LONG);
  await send(50);
  await live(page);
  await all(page, "what came meanwhile is listed");
}

const browser = await Browser.start(base);
try {
  const smooth = await browser.page();
  await isSmooth(smooth);
  await smooth.context().close();
  const page = await browser.page();
  for (const [name, step] of Object.entries({ flood: keepsUp, pause: pausesBeyondItsBound, restart: outlivesItsServer })) {
    await step(page).catch((error) => {
      throw new Error(`${name}: ${error.message}`, { cause: error });
    });
    console.log(`ok ${name}`);
  }
  expect(browser.complaints.length === 0, `the console is silent:\n  ${browser.complaints.join("\n  ")}`);
} finally {
  await browser.close();
}
