// Fills the log through the real path, as fast as it goes: signed deliveries over connections that are kept, from several threads.
// What is not taken at once is sent again, as senders do. Usage: fill.mjs '{"base", "secret", "count", "repositories", "first"}'
// `first` is the number of the first delivery, 0 unless given: the same number is the same delivery.
//
// Of a hundred deliveries one is for the repository octo-org/broken, which a destination may refuse; of five hundred one is a
// security alert; of a thousand one has a forged signature beside it.
import { Agent, request } from "node:http";
import { availableParallelism } from "node:os";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { sign } from "./signer.mjs";
import { payload } from "./small-payload.mjs";

const LANES = 48;
const TRIES_MAX = 50;

/** The n-th delivery: [event, payload]. */
function made(n, repositories) {
  if (n % 100 === 50) {
    return ["issues", { action: "labeled", issue: { id: n, number: n, title: `Broken ${n}` }, ...about("octo-org/broken", n) }];
  }
  if (n % 500 === 7) {
    const severity = ["low", "medium", "high", "critical"][Math.floor(n / 500) % 4];
    const advisory = { ghsa_id: `GHSA-${n}`, summary: `A flaw in package ${n % 97}`, severity };
    const alert = { number: n, state: "open", html_url: `https://github.example/alerts/${n}`, security_advisory: advisory };
    return ["dependabot_alert", { action: "created", alert, ...about(`Octo-Org/repo.${n % repositories}`, n) }];
  }
  const [event, small] = payload(n, "fill", repositories);
  // Times of now, so that what is shown of the last hours has something to show.
  if (small.workflow_job) {
    const at = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
    Object.assign(small.workflow_job, { created_at: at(-90), started_at: at(-60), completed_at: small.workflow_job.completed_at && at(0) });
  }
  return [event, small];
}

function about(name, n) {
  const [owner, short] = name.split("/");
  return { repository: { id: n % 1000, full_name: name, name: short, owner: { login: owner } }, sender: { login: `user-${n % 7}`, id: n % 7 }, serial: n };
}

function post(agent, base, event, id, body, signature) {
  return new Promise((answered, failed) => {
    const headers = {
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(body),
      "User-Agent": "GitHub-Hookshot/044aadd",
      "X-GitHub-Event": event,
      "X-GitHub-Delivery": id,
      "X-GitHub-Hook-ID": "41",
      "X-Hub-Signature-256": signature,
    };
    const sent = request(`${base}/api/webhooks/github`, { method: "POST", agent, headers }, (answer) => {
      answer.resume();
      answer.on("end", () => answered(answer.statusCode));
    });
    sent.on("error", failed);
    sent.end(body);
  });
}

async function lane(agent, { base, secret, count, repositories, step, first = 0 }, from) {
  for (let n = first + from; n < first + count; n += step) {
    const [event, json] = made(n, repositories);
    const body = JSON.stringify(json);
    const id = `fill-${String(n).padStart(8, "0")}`;
    const signature = await sign(secret, body);
    if (n % 1000 === 3) await post(agent, base, event, `forged-${n}`, body, `sha256=${"0".repeat(64)}`).catch(() => 0);
    let status = 0;
    for (let tries = 0; status !== 200; tries++) {
      if (tries === TRIES_MAX) throw new Error(`delivery ${n} was not taken: ${status}`);
      if (tries > 0) await new Promise((done) => setTimeout(done, 200 * tries));
      status = await post(agent, base, event, id, body, signature).catch((error) => error.code);
    }
    parentPort.postMessage(1);
  }
}

if (isMainThread) {
  const facts = JSON.parse(process.argv[2]);
  const threads = Math.max(2, Math.min(4, availableParallelism()));
  const begun = performance.now();
  let taken = 0;
  const report = setInterval(() => {
    const perSecond = Math.round((taken * 1000) / (performance.now() - begun));
    console.error(`${taken} of ${facts.count} taken, ${perSecond} a second`);
  }, 30_000);
  const workers = Array.from({ length: threads }, (_, thread) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { ...facts, thread, threads } });
    worker.on("message", () => taken++);
    return new Promise((ended, failed) => {
      worker.on("error", failed);
      worker.on("exit", ended);
    });
  });
  await Promise.all(workers);
  clearInterval(report);
  const seconds = (performance.now() - begun) / 1000;
  if (taken !== facts.count) throw new Error(`${taken} of ${facts.count} were taken`);
  console.log(`${taken} deliveries taken in ${seconds.toFixed(1)} s, ${Math.round(taken / seconds)} a second`);
} else {
  const { thread, threads } = workerData;
  const agent = new Agent({ keepAlive: true, maxSockets: LANES });
  const step = threads * LANES;
  await Promise.all(Array.from({ length: LANES }, (_, n) => lane(agent, { ...workerData, step }, thread * LANES + n)));
  agent.destroy();
}
