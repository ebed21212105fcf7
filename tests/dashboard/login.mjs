// Logging in with a key. Usage: node login.mjs BASE KEY
import { Browser, eventually, expect, violations } from "./browser.mjs";

const [base, key] = process.argv.slice(2);
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
  await page.getByLabel("API key").fill("hk_000000000000_wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel("API key").fill(key);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Sources", level: 1 }).waitFor();
  expect(page.url().endsWith("/dashboard/sources?from=afar"), "it leads back to where one wanted to be");
  const cookies = await page.context().cookies();
  expect(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite === "Strict", `scripts can't read the cookie: ${JSON.stringify(cookies)}`);
  const kept = await page.evaluate(() => JSON.stringify(localStorage));
  expect(!kept.includes(key), "the key is kept nowhere");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await eventually("the cookie is gone", async () => (await page.context().cookies()).length === 0);
  expect(browser.complaints.length === 0, `the console is silent:\n  ${browser.complaints.join("\n  ")}`);
} finally {
  await browser.close();
}
