// Signs with the providers' own libraries and says what they themselves think of each request; or verifies requests that
// somebody else signed. No code of ours takes part.
//
// node providers.mjs sign                 prints requests, one line of JSON each:
//                                         {source, name, headers: [[name, value], …], body: base64, accepted}
// node providers.mjs verify REQUESTS      reads lines of {library, secret, headers: {…}, body: base64} and prints "agreed"
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const tools = process.env.HOOKLOG_TEST_TOOLS;
if (!tools) throw new Error("HOOKLOG_TEST_TOOLS must name the folder that tests/tools/setup.sh printed");
const load = (...path) => import(pathToFileURL(join(tools, "node_modules", ...path)).href);
const octokit = await load("@octokit", "webhooks-methods", "dist-node", "index.js");
const { LinearWebhookClient } = await load("@linear", "sdk", "dist", "webhooks", "index.mjs");
const { Webhook: Standard } = await load("standardwebhooks", "dist", "index.js");
const { Webhook: Svix } = await load("svix", "dist", "index.js");

export const SECRETS = {
  github: "It's a Secret to Everybody",
  linear: "lin_wh_0123456789abcdef",
  standard: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  svix: "whsec_plJ3nmyCDGBKInavdOK15jsl",
  gitlab: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
};

const seconds = (offset) => new Date((Math.floor(Date.now() / 1000) + offset) * 1000);
const stamp = (date) => String(Math.floor(date.getTime() / 1000));

// What each library itself says of a request.
const verdicts = {
  async github(headers, body, secret) {
    return octokit.verify(secret, body.toString(), headers["x-hub-signature-256"]);
  },
  async linear(headers, body, secret) {
    return new LinearWebhookClient(secret).verify(body, headers["linear-signature"]);
  },
  async standard(headers, body, secret) {
    new Standard(secret).verify(body.toString(), headers, { jsonParse: false });
    return true;
  },
  async svix(headers, body, secret) {
    new Svix(secret).verify(body.toString(), headers);
    return true;
  },
};
verdicts.gitlab = verdicts.standard;

async function accepts(library, headers, body, secret) {
  try {
    return (await verdicts[library](headers, body, secret)) === true;
  } catch {
    return false;
  }
}

// Signs a body as the sender does; linear has its time in the body already.
async function signed(source, id, body, at, secret) {
  const text = body.toString();
  switch (source) {
    case "github":
      return {
        "x-github-event": "push",
        "x-github-delivery": id,
        "x-hub-signature-256": await octokit.sign(secret, text),
      };
    case "linear":
      // The library of Linear has no signer; its verifier has to agree to what is made here.
      return {
        "linear-delivery": id,
        "linear-event": "Issue",
        "linear-signature": createHmac("sha256", secret).update(body).digest("hex"),
      };
    case "svix":
      return {
        "svix-id": id,
        "svix-timestamp": stamp(at),
        "svix-signature": new Svix(secret).sign(id, at, text),
      };
    default:
      return {
        "webhook-id": id,
        "webhook-timestamp": stamp(at),
        "webhook-signature": new Standard(secret).sign(id, at, text),
        ...(source === "gitlab" && { "x-gitlab-event": "Push Hook" }),
      };
  }
}

const NAME = { github: "x-hub-signature-256", linear: "linear-signature", svix: "svix-signature" };
const proof = (source) => NAME[source] ?? "webhook-signature";

// What such a sender really sends.
function bodies(source, at) {
  const examples = () =>
    JSON.parse(
      readFileSync(join(tools, "node_modules", "@octokit", "webhooks-examples", "api.github.com", "index.json"), "utf8"),
    );
  const linear = (type, data) => ({
    action: "update",
    actor: { id: "b5ea5f1f-8adc-4f52-b4bd-ab4e84cf51ba", type: "user", name: "Ada Lovelace" },
    createdAt: "2026-01-23T12:53:18.084Z",
    data,
    type,
    url: "https://linear.app/issue/LIN-1778/grusse",
    organizationId: "dc844923-f9a4-40a3-825c-dea7747e57d5",
    webhookTimestamp: at.getTime(),
    webhookId: "000042e3-d123-4980-b49f-8e140eef9329",
  });
  switch (source) {
    case "github":
      return examples().slice(0, 12).map(({ examples: [first] }) => first);
    case "linear":
      return [
        linear("Issue", { id: "2174add1-f7c8-44e3-bbf3-2d60b5ea8bc9", title: "Grüße, 世界 🦀", number: 1778 }),
        linear("Comment", { id: "8f3cd5a1-9a2c-4f6c-8f0e-1d2ad5d0b0a1", body: "line\nbreak \"quoted\"" }),
      ];
    case "gitlab":
      return [
        {
          object_kind: "push",
          event_name: "push",
          after: "da1560886d4f094c3e6c9ef40349f7d38b5d27d7",
          user_username: "jsmith",
          project: { path_with_namespace: "mike/sub/diaspora", default_branch: "main" },
          commits: [{ id: "b6568db1bc1dcd7f8b4d5a946b0b91f9dacd7327", message: "Update Catalan translation — ñ" }],
        },
        { object_kind: "pipeline", object_attributes: { id: 31, status: "success" }, project: { path_with_namespace: "a/b" } },
      ];
    default:
      return [
        { type: "invoice.paid", timestamp: "2026-11-03T20:26:10.344522Z", data: { id: "1f81eb52", amount: 12.5 } },
        { type: "user.created", data: { name: "Ünï \u2028 👩‍💻" } },
      ];
  }
}

// The same delivery, right and wrong in every way that senders and networks find.
async function variants(source, body, n) {
  const secret = SECRETS[source];
  const id = (what) => `${source}-${n}-${what}`;
  const made = [];
  const add = async (what, change = () => {}, options = {}) => {
    const at = options.at ?? seconds(0);
    const sent = options.body ?? body;
    const request = { headers: await signed(source, id(what), sent, at, options.secret ?? secret), body: sent };
    change(request);
    made.push({ what, ...request });
  };
  const header = proof(source);
  const edit = (how) => (request) => (request.headers[header] = how(request.headers[header]));
  const flip = (text, at) => text.slice(0, at) + (text[at] === "0" ? "1" : "0") + text.slice(at + 1);
  await add("right");
  await add("mutated", (r) => (r.body = Buffer.from(r.body.toString().replace("}", " }"))));
  await add("one-bit", (r) => (r.body = Buffer.from(r.body).fill(r.body[9] ^ 1, 9, 10)));
  await add("cut", (r) => (r.body = r.body.subarray(0, r.body.length - 1)));
  await add("longer", (r) => (r.body = Buffer.concat([r.body, Buffer.from("\n")])));
  await add("empty", (r) => (r.body = Buffer.alloc(0)));
  await add("other-secret", undefined, { secret: source === "github" || source === "linear" ? "x" : "whsec_ZmVkY2JhOTg3NjU0MzIxMA==" });
  await add("signature-flipped", edit((s) => flip(s, s.length - 5)));
  await add("signature-cut", edit((s) => s.slice(0, -2)));
  await add("signature-longer", edit((s) => `${s}00`));
  await add("signature-missing", (r) => delete r.headers[header]);
  await add("signature-encoded-otherwise", edit((s) => {
    const [, prefix, digest] = /^(sha256=|v1,|)(.*)$/.exec(s);
    const [from, to] = prefix === "v1," ? ["base64", "hex"] : ["hex", "base64"];
    return prefix + Buffer.from(digest, from).toString(to);
  }));
  if (!["github", "linear"].includes(source)) {
    await add("stale", undefined, { at: seconds(-330) });
    await add("ahead", undefined, { at: seconds(330) });
    await add("nearly-stale", undefined, { at: seconds(-240) });
    await add("time-changed", (r) => (r.headers[header.replace("signature", "timestamp")] = stamp(seconds(-1))));
    await add("id-changed", (r) => (r.headers[header.replace("signature", "id")] += "x"));
    await add("rotated", edit((s) => `v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= ${s} v2,other`));
    await add("prefix-missing", edit((s) => s.slice(3)));
    await add("another-version", edit((s) => s.replace("v1,", "v1a,")));
  }
  if (source === "github") await add("sha1", edit((s) => s.replace("sha256=", "sha1=")));
  if (source === "linear") {
    const aged = (ms) => Buffer.from(JSON.stringify({ ...JSON.parse(body), webhookTimestamp: Date.now() + ms }));
    await add("stale", undefined, { body: aged(-75_000) });
    await add("ahead", undefined, { body: aged(+90_000) });
    await add("six-hours-late-old-time", undefined, { body: aged(-6 * 3_600_000) });
    await add("nearly-stale", undefined, { body: aged(-30_000) });
    await add("no-time", undefined, { body: Buffer.from('{"type":"Issue"}') });
    await add("time-as-text", undefined, { body: Buffer.from(`{"webhookTimestamp":"${Date.now()}"}`) });
    await add("prefixed", edit((s) => `sha256=${s}`));
  }
  return made;
}

async function sign() {
  for (const source of Object.keys(SECRETS)) {
    for (const [n, payload] of bodies(source, new Date()).entries()) {
      const body = Buffer.from(JSON.stringify(payload, null, n % 2 ? 2 : 0));
      for (const { what, headers, body: sent } of await variants(source, body, n)) {
        const accepted = await accepts(source, headers, sent, SECRETS[source]);
        const line = {
          source,
          name: `${source}-${n}-${what}`,
          headers: Object.entries({ "content-type": "application/json", ...headers }),
          body: sent.toString("base64"),
          accepted,
        };
        process.stdout.write(`${JSON.stringify(line)}\n`);
      }
    }
  }
}

async function verify(path) {
  const lines = readFileSync(path, "utf8").trim().split("\n");
  for (const line of lines) {
    const { library, secret, headers, body } = JSON.parse(line);
    const sent = Buffer.from(body, "base64");
    if (!(await accepts(library, headers, sent, secret))) throw new Error(`${library} refuses ${line}`);
    const changed = Buffer.concat([sent, Buffer.from(" ")]);
    if (await accepts(library, headers, changed, secret)) throw new Error(`${library} takes it when changed`);
    if (await accepts(library, headers, sent, `${secret}BBBB`)) throw new Error(`${library} takes another secret`);
  }
  process.stdout.write(`agreed on ${lines.length}\n`);
}

const [command, path] = process.argv.slice(2);
if (command === "sign") await sign();
else if (command === "verify") await verify(path);
else throw new Error("usage: providers.mjs sign | verify REQUESTS");
