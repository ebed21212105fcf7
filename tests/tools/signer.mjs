// Signs with @octokit/webhooks-methods, so that no code of ours takes part in what the tests send.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const tools = process.env.HOOKLOG_TEST_TOOLS;
if (!tools) throw new Error("HOOKLOG_TEST_TOOLS must name the folder that tests/tools/setup.sh printed");

const modules = join(tools, "node_modules", "@octokit");
const { sign } = await import(pathToFileURL(join(modules, "webhooks-methods", "dist-node", "index.js")).href);

export { sign };

// The example payloads: [{ name, examples: [payload, …] }, …].
export function examples() {
  return JSON.parse(readFileSync(join(modules, "webhooks-examples", "api.github.com", "index.json"), "utf8"));
}

// One delivery as the tests read it: a line of JSON.
export async function delivery(secret, event, hook, id, body) {
  return { event, hook, delivery: id, signature: await sign(secret, body), body };
}
