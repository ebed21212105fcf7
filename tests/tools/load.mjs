// Prints many small signed deliveries, one line of JSON each: pushes, jobs in every state, pull requests, issues, stars.
// One in 50 repeats an earlier body under a new id, one in 200 is too large for the log itself.
// Usage: node load.mjs SECRET COUNT PREFIX [REPOSITORIES], 20 of them unless said otherwise
import { delivery } from "./signer.mjs";
import { payload } from "./small-payload.mjs";

const [secret, count, prefix, repositories = "20"] = process.argv.slice(2);
let lines = [];
let body = "";
for (let n = 0; n < Number(count); n++) {
  const [event, json] = payload(n, prefix, Number(repositories));
  if (n % 200 === 150) json.padding = "x".repeat(300 * 1024);
  if (n % 50 !== 49) body = JSON.stringify(json);
  const id = `${prefix}-${String(n).padStart(7, "0")}`;
  lines.push(JSON.stringify(await delivery(secret, n % 50 === 49 ? payload(n - 1, prefix, Number(repositories))[0] : event, "41", id, body)));
  if (lines.length === 500) {
    process.stdout.write(lines.join("\n") + "\n");
    lines = [];
  }
}
if (lines.length) process.stdout.write(lines.join("\n") + "\n");
