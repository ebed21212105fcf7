// Prints every example payload of GitHub as a signed delivery, one line of JSON each.
// Usage: node examples.mjs SECRET
import { delivery, examples } from "./signer.mjs";

const [secret] = process.argv.slice(2);
const lines = [];
for (const { name, examples: payloads } of examples()) {
  for (const payload of payloads) {
    const n = lines.length + 1;
    const id = `0ddba11e-0000-4000-8000-${String(n).padStart(12, "0")}`;
    // Some spelled as GitHub does, some indented: bytes must survive, not only JSON. Equal payloads stay equal bodies.
    const compact = JSON.stringify(payload);
    const body = compact.length % 3 === 0 ? JSON.stringify(payload, null, 2) : compact;
    lines.push(JSON.stringify(await delivery(secret, name, "4711", id, body)));
  }
}
process.stdout.write(lines.join("\n") + "\n");
