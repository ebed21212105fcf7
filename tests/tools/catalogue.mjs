// Checks that every example payload of GitHub, of its own service and of its servers for enterprises, is an event and an action of
// the catalogue that the API shows. Prints how many it has seen.
// Usage: node catalogue.mjs FILE, with the answer of GET /api/webhooks/events/types in the file
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [file] = process.argv.slice(2);
const { data } = JSON.parse(readFileSync(file, "utf8"));
const github = data.sources.find((source) => source.source === "github").types;
const known = new Map(github.map((type) => [type.event, new Set(type.actions)]));
// Whoever dispatches one names its action.
const FREE = new Set(["repository_dispatch"]);

const folder = join(process.env.HOOKLOG_TEST_TOOLS, "node_modules", "@octokit", "webhooks-examples");
const unknown = new Set();
let seen = 0;
for (const server of ["api.github.com", "ghes-31", "ghes-32", "ghes-33", "ghes-34", "ghes-35"]) {
  for (const { name, examples } of JSON.parse(readFileSync(join(folder, server, "index.json"), "utf8"))) {
    for (const { action } of examples) {
      seen += 1;
      if (!known.has(name)) unknown.add(`${server}: ${name}`);
      else if (typeof action === "string" && !FREE.has(name) && !known.get(name).has(action)) unknown.add(`${server}: ${name}.${action}`);
    }
  }
}
if (unknown.size) {
  console.error(`not in the catalogue:\n${[...unknown].join("\n")}`);
  process.exit(1);
}
console.log(seen);
