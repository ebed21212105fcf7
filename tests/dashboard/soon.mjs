// How long it takes until each page shows what it is for, told and not asserted: a machine that does other things besides is no
// measuring device. Usage: node soon.mjs FACTS, a JSON of { base, dead, repository }. Prints a table; what a page never shows
// fails.
import { Browser, expect } from "./browser.mjs";
import { pagesOf } from "./pages.mjs";

const ROUNDS = 3;
const facts = JSON.parse(process.argv[2]);
const browser = await Browser.start(facts.base);

/** Milliseconds until a page is usable: its content is to be seen, and nothing on it is still a promise. */
async function open(page, { path, shows }) {
  const slowest = { ms: 0, path: "" };
  const timed = async (request) => {
    const { pathname } = new URL(request.url());
    const { responseEnd } = request.timing();
    if (pathname.startsWith("/api/") && responseEnd > slowest.ms) Object.assign(slowest, { ms: responseEnd, path: pathname });
  };
  page.on("requestfinished", timed);
  const begun = performance.now();
  await page.goto(path, { waitUntil: "commit" });
  await Promise.all(
    shows.map((text) =>
      page.locator("main").getByText(text).first().waitFor({ timeout: 60_000 }).catch(() => {
        throw new Error(`${path} does not show "${text}"`);
      }),
    ),
  );
  await page.waitForFunction(() => document.querySelector(".skeleton") === null, undefined, { timeout: 60_000 });
  const ms = performance.now() - begun;
  page.off("requestfinished", timed);
  return { ms, slowest };
}

const round = (ms) => String(Math.round(ms)).padStart(7);
const lines = [];
try {
  for (const one of pagesOf(facts)) {
    // Nothing of it is cached at first, and everything after that.
    const page = await browser.page();
    const seen = [];
    for (let n = 0; n <= ROUNDS; n++) seen.push(await open(page, one));
    await page.context().close();
    const [first, ...again] = seen;
    const sorted = again.map(({ ms }) => ms).sort((a, b) => a - b);
    const slowest = seen.map(({ slowest }) => slowest).reduce((a, b) => (b.ms > a.ms ? b : a));
    lines.push(`${one.name.padEnd(18)} ${round(first.ms)} ${round(sorted[Math.floor(sorted.length / 2)])} ${round(sorted.at(-1))}   ${Math.round(slowest.ms)} ms ${slowest.path}`);
  }
  expect(browser.complaints.length === 0, `the console is silent, and no other host is asked:\n  ${browser.complaints.join("\n  ")}`);
} finally {
  await browser.close();
}
console.log(`milliseconds until  the first   the   the\na page is usable       time  median  worst of ${ROUNDS} more   slowest question of any of them\n${lines.join("\n")}`);
