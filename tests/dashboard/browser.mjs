// A headless Chromium that is watched: what a page says on its console, and whom it asks.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";

const tools = process.env.HOOKLOG_TEST_TOOLS;
if (!tools) throw new Error("HOOKLOG_TEST_TOOLS must name the folder that tests/tools/setup.sh printed");
const require = createRequire(join(tools, "package.json"));
const { chromium } = require("playwright-core");
const { AxeBuilder } = require("@axe-core/playwright");

export const DESKTOP = { width: 1360, height: 900 };
export const PHONE = { width: 390, height: 844 };
/** The narrowest that has to be readable. */
export const NARROW = { width: 360, height: 740 };

export class Browser {
  #browser;
  #origin;
  complaints = [];
  /** Answers that a step provokes: `{ path, status }`. */
  expected = [];

  static async start(base) {
    const path = execFileSync("bash", [join(import.meta.dirname, "../tools/chromium.sh")], { encoding: "utf8" }).trim();
    const self = new Browser();
    self.#origin = new URL(base).origin;
    self.#browser = await chromium.launch({ executablePath: path, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
    return self;
  }

  async page(viewport = DESKTOP) {
    const context = await this.#browser.newContext({ viewport, baseURL: this.#origin, reducedMotion: "reduce", locale: "en-GB" });
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: this.#origin });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      const { url } = message.location();
      if (this.expected.some(({ path, status }) => url.includes(path) && message.text().includes(String(status)))) return;
      this.complaints.push(`${page.url()}: ${message.text()} (${url})`);
    });
    page.on("pageerror", (error) => this.complaints.push(`${page.url()}: ${error.stack ?? error.message}`));
    page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol !== "data:" && url.protocol !== "blob:" && url.origin !== this.#origin) {
        this.complaints.push(`${page.url()}: asked another host, ${request.url()}`);
      }
    });
    return page;
  }

  async close() {
    await this.#browser.close();
  }
}

/** What axe calls serious or critical, in words; of these rules alone, where some are named. */
export async function violations(page, rules = []) {
  // Our pages have no frames: in this mode axe needs no second page to put together what it found in them, which takes as long again.
  const axe = new AxeBuilder({ page }).setLegacyMode(true);
  const { violations } = await (rules.length ? axe.withRules(rules) : axe).analyze();
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .flatMap(({ id, help, nodes }) => nodes.slice(0, 4).map((node) => `${id} (${help}): ${node.html.slice(0, 200)} ${node.any[0]?.message ?? ""}`));
}

/** Types a key where one logs in: in the field of that page, which a section called "API keys" of the page before it also answers to. */
export async function typeKey(page, key) {
  await page.getByRole("heading", { name: "Log in", level: 1 }).waitFor();
  await page.getByLabel("API key", { exact: true }).fill(key);
}

export function expect(holds, what) {
  if (!holds) throw new Error(`it does not hold: ${what}`);
}

/** Asks until it holds; says what never did. */
export async function eventually(what, holds, withinMs = 20_000) {
  const end = performance.now() + withinMs;
  let last;
  while (performance.now() < end) {
    last = await holds();
    if (last === true) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`never within ${withinMs} ms: ${what} (last seen: ${JSON.stringify(last)})`);
}
