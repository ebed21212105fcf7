// The first key, made in the dashboard of a server that has none: whoever makes it has it afterwards, and is not turned out of the
// page that shows it. Usage: node first-key.mjs FACTS, a JSON of { base }.
import { Browser, eventually, expect, typeKey } from "./browser.mjs";

const { base } = JSON.parse(process.argv[2]);

const whoami = (key) => fetch(`${base}/api/whoami`, { headers: key ? { "X-Api-Key": key } : {} }).then((answer) => answer.status);

/** Presses at a place inside the dialog and lets go beside it, as whoever selects the key does. */
async function selectsBeyond(page, dialog, locator) {
  const from = await locator.boundingBox();
  const frame = await dialog.boundingBox();
  await page.mouse.move(from.x + 10, from.y + from.height / 2);
  await page.mouse.down();
  await page.mouse.move(frame.x + frame.width + 40, from.y + from.height / 2, { steps: 4 });
  await page.mouse.up();
}

const browser = await Browser.start(base);
browser.expected.push({ path: "/api/", status: 401 });
try {
  const page = await browser.page();
  await page.goto("/dashboard/keys");
  await page.getByText("There never was a key").waitFor();
  await page.getByRole("button", { name: "New key…" }).click();
  const dialog = page.getByRole("dialog");
  const name = dialog.getByLabel(/^\s*Name/);
  await name.fill("first");
  await selectsBeyond(page, dialog, name);
  expect((await name.inputValue()) === "first", "what was typed outlives a selection that ends beside the dialog");
  await dialog.getByRole("button", { name: "Make the key" }).click();
  const shown = dialog.getByLabel("the key", { exact: true });
  const key = await shown.textContent();
  expect((await whoami(key)) === 200 && (await whoami()) === 401, "with the first key, the rule that there needs to be none ends");
  // Every page is read again within these seconds: whoever is not logged in is led away.
  const asked = new Set();
  page.on("response", (answer) => asked.add(`${new URL(answer.url()).pathname} ${answer.status()}`));
  await eventually("the page is read again, with the key", () => asked.has("/api/webhooks/health 200"));
  await selectsBeyond(page, dialog, shown);
  await page.mouse.click(5, 5);
  for (let n = 0; n < 3; n++) await page.keyboard.press("Escape");
  expect((await shown.textContent()) === key, "nothing but its button takes the key away");
  await dialog.getByText("You are logged in with it now").waitFor();
  await dialog.getByRole("button", { name: "I have it" }).click();
  await page.getByRole("row", { name: /first/ }).getByText("this one").waitFor();
  // Kept, it opens the door again.
  await page.getByRole("button", { name: "Log out" }).click();
  await typeKey(page, key);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  // A login that ends while something is shown once leads away when it is closed, and not before.
  await page.goto("/dashboard/keys");
  await page.getByRole("button", { name: "New key…" }).click();
  await name.fill("second");
  await dialog.getByRole("button", { name: "Make the key" }).click();
  await shown.waitFor();
  await page.context().clearCookies();
  await page.waitForResponse((answer) => answer.status() === 401);
  expect(await shown.isVisible(), "the end of the login does not take the key away");
  await dialog.getByRole("button", { name: "I have it" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  expect(browser.complaints.length === 0, `the console is silent:\n  ${browser.complaints.join("\n  ")}`);
} finally {
  await browser.close();
}
