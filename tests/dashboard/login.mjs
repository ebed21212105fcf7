// Logging in with a key, what it may do, and the pages of those who say who may ask. Usage: node login.mjs FACTS, a JSON of
// { base, admin, reader, screenshots }: two keys.
import { Browser, eventually, expect, typeKey, violations } from "./browser.mjs";
import { adminPages, look } from "./pages.mjs";

const { base, admin: key, reader, screenshots } = JSON.parse(process.argv[2]);
/** A key is made on its page, shown once, opens the API, and is revoked there. */
async function keysAreMade(page) {
  await page.getByRole("link", { name: "Keys" }).click();
  await page.getByRole("heading", { name: "Keys", level: 1 }).waitFor();
  await page.getByRole("button", { name: "New key…" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(/^\s*Name/).fill("ci-of-the-test");
  await dialog.getByText("Operate", { exact: true }).click();
  const found = await violations(page);
  expect(found.length === 0, `the dialog is for everybody:\n  ${found.join("\n  ")}`);
  await dialog.getByRole("button", { name: "Make the key" }).click();
  const made = await dialog.getByLabel("the key", { exact: true }).textContent();
  const status = () => fetch(`${base}/api/whoami`, { headers: { "X-Api-Key": made } }).then((answer) => answer.status);
  expect((await status()) === 200, "the key that was shown opens the API");
  await dialog.getByRole("button", { name: "I have it" }).click();
  const row = page.getByRole("row", { name: /ci-of-the-test/ });
  await row.getByText("operate", { exact: true }).waitFor();
  expect(!(await page.content()).includes(made), "it is shown once");
  await row.getByRole("button", { name: /^Revoke/ }).click();
  await dialog.getByRole("button", { name: "Revoke the key" }).click();
  await row.getByText("revoked", { exact: true }).waitFor();
  expect((await status()) === 401, "from then on it opens nothing");
}

async function theTrailIsNarrowed(page) {
  await page.goto("/dashboard/audit");
  const rows = page.locator("tbody tr");
  await rows.first().waitFor();
  await page.getByLabel("Action", { exact: true }).selectOption("key");
  await eventually("only what was done with keys is listed", async () => {
    const texts = await rows.allInnerTexts();
    return texts.length > 0 && texts.every((text) => /key/i.test(text.split("\n")[0]));
  });
  expect(new URL(page.url()).searchParams.get("action") === "key", "the filter stands in the address");
  await page.getByLabel("Outcome").selectOption("begun");
  await page.getByText("Nothing fits the filter").waitFor();
  await page.getByRole("button", { name: "Clear" }).click();
  await page.locator("tbody").getByText("Log in").first().waitFor();
}

async function whoMayOnlyReadIsOfferedNothingElse(page) {
  await typeKey(page, reader);
  await page.keyboard.press("Enter");
  await page.getByText("reader").first().waitFor();
  for (const path of ["sources", "failed", "replays", "projections"]) {
    await page.goto(`/dashboard/${path}`);
    await page.getByText("reader").first().waitFor();
    await page.getByRole("heading", { level: 1 }).waitFor();
    const offered = await page.locator("main button").allInnerTexts();
    expect(!offered.some((text) => /replay|retry|add|rebuild|pause|rotate|remove/i.test(text)), `${path} offers a reader nothing: ${offered}`);
  }
  expect((await page.getByRole("link", { name: "Keys" }).count()) === 0, "the keys are not theirs");
}

const browser = await Browser.start(base);
browser.expected.push({ path: "/api/", status: 401 });
try {
  const page = await browser.page();
  await page.goto("/dashboard/sources?from=afar");
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    const found = await violations(page);
    expect(found.length === 0, `the login is for everybody:\n  ${found.join("\n  ")}`);
  }
  await typeKey(page, "hk_000000000000_wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").waitFor();
  await typeKey(page, key);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Sources", level: 1 }).waitFor();
  expect(page.url().endsWith("/dashboard/sources?from=afar"), "it leads back to where one wanted to be");
  const cookies = await page.context().cookies();
  expect(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite === "Strict", `scripts can't read the cookie: ${JSON.stringify(cookies)}`);
  const kept = await page.evaluate(() => JSON.stringify(localStorage));
  expect(!kept.includes(key), "the key is kept nowhere");
  await keysAreMade(page);
  await look(page, adminPages(), screenshots);
  await page.setViewportSize({ width: 1360, height: 900 });
  await theTrailIsNarrowed(page);
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await eventually("the cookie is gone", async () => (await page.context().cookies()).length === 0);
  await whoMayOnlyReadIsOfferedNothingElse(page);
  expect(browser.complaints.length === 0, `the console is silent:\n  ${browser.complaints.join("\n  ")}`);
} finally {
  await browser.close();
}
