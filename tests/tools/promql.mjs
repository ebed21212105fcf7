// Reads PromQL with the grammar of Prometheus itself. Takes a list of expressions as JSON, prints for each the metrics and the labels
// that it names; a text that is no expression ends it.
// Usage: node promql.mjs FILE
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const tools = process.env.HOOKLOG_TEST_TOOLS;
if (!tools) throw new Error("HOOKLOG_TEST_TOOLS must name the folder that tests/tools/setup.sh printed");
const { parser } = createRequire(join(tools, "package.json"))("@prometheus-io/lezer-promql");

const said = JSON.parse(readFileSync(process.argv[2], "utf8")).map((text) => {
  const metrics = new Set();
  const labels = new Set();
  parser.parse(text).iterate({
    enter(node) {
      if (node.type.isError) throw new Error(`no PromQL near character ${node.from}: ${text}`);
      const words = text.slice(node.from, node.to);
      if (node.name === "Identifier" && node.node.parent.name === "VectorSelector") metrics.add(words);
      if (node.name === "LabelName") labels.add(words);
    },
  });
  return { metrics: [...metrics], labels: [...labels] };
});
console.log(JSON.stringify(said));
