// Every page, with what has to be on it, and how it is looked at: two themes, three widths, a reader that is no eye.
import { join } from "node:path";
import { DESKTOP, eventually, expect, NARROW, PHONE, violations } from "./browser.mjs";

export function pagesOf({ dead, repository }) {
  return [
    { name: "overview", path: "/dashboard/", shows: ["Events by type", "Top repositories", "Projections", "Success rate"] },
    { name: "stream", path: "/dashboard/stream", shows: ["Repository", "workflow"] },
    { name: "delivery", path: `/dashboard/deliveries/${dead}`, shows: ["Facts", "VALIDATION_ERROR", "action"] },
    { name: "delivery-attempts", path: `/dashboard/deliveries/${dead}?tab=attempts`, shows: ["idempotency-key", "x-github-event", "422"] },
    { name: "delivery-history", path: `/dashboard/deliveries/${dead}?tab=history`, shows: ["Received", "Given up"] },
    { name: "delivery-headers", path: `/dashboard/deliveries/${dead}?tab=headers`, shows: ["x-github-event"] },
    { name: "failed", path: "/dashboard/failed", shows: ["answered 422", "Retry all", "cause"] },
    { name: "rejected", path: "/dashboard/rejected", shows: ["Signature does not fit", "Requests"] },
    { name: "security", path: "/dashboard/security", shows: ["dependabot", "Severity"] },
    { name: "repositories", path: "/dashboard/repositories", shows: [repository] },
    { name: "repository", path: `/dashboard/repositories/${repository}`, shows: ["Activity", "People"] },
    { name: "jobs", path: "/dashboard/jobs", shows: ["Runners", "How long it takes", "Workflow runs"] },
    { name: "replays", path: "/dashboard/replays", shows: ["tried once more"] },
    { name: "sources", path: "/dashboard/sources", shows: ["/api/webhooks/github", "ci"] },
    { name: "projections", path: "/dashboard/projections", shows: ["repository activity", "live"] },
    { name: "missing", path: "/dashboard/no-such-page", shows: ["No page has this address"] },
  ];
}

/** The pages of those who may say who may ask. */
export function adminPages() {
  return [
    { name: "keys", path: "/dashboard/keys", shows: ["API keys", "active", "revoked"] },
    { name: "audit", path: "/dashboard/audit", shows: ["Made a key", "Revoked a key", "Logged in"] },
  ];
}

export async function look(page, pages, screenshots) {
  for (const { name, path, shows } of pages) {
    await page.setViewportSize(DESKTOP);
    await page.goto(path);
    for (const text of shows) {
      await page.locator("main").getByText(text).first().waitFor().catch(() => {
        throw new Error(`${path} does not show "${text}"`);
      });
    }
    await settled(page);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(200);
      const found = await violations(page);
      expect(found.length === 0, `${path} is for everybody, ${colorScheme}:\n  ${found.join("\n  ")}`);
      if (screenshots) await page.screenshot({ path: join(screenshots, `${name}-${colorScheme}.png`) });
    }
    await page.setViewportSize(NARROW);
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    expect(over <= 0, `${path} fits a phone: it is ${over} pixels too wide`);
    await page.setViewportSize(PHONE);
    await page.emulateMedia({ colorScheme: "light" });
    const found = await violations(page);
    expect(found.length === 0, `${path} is for everybody, on a phone:\n  ${found.join("\n  ")}`);
    if (screenshots) await page.screenshot({ path: join(screenshots, `${name}-phone.png`) });
  }
}

/** Waits until nothing on the page is still a promise. */
async function settled(page) {
  await eventually("nothing is loading", async () => (await page.locator(".skeleton").count()) === 0);
  await page.evaluate(() => document.fonts.ready);
  await page.waitForTimeout(150);
}
