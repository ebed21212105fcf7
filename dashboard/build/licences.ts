// Writes licences.txt: what the bundle is made of, and under which terms. The licences of the fonts and libraries ask for it.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const SHIPPED = ["svelte", "uplot", "lossless-json", "@tanstack/virtual-core", "@fontsource-variable/inter", "@fontsource-variable/jetbrains-mono"];

export function licences(): Plugin {
  return {
    name: "licences",
    apply: "build",
    generateBundle() {
      this.emitFile({ type: "asset", fileName: "licences.txt", source: SHIPPED.map(entry).join("\n\n") });
    },
  };
}

function entry(name: string): string {
  const folder = join(import.meta.dirname, "..", "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, string>;
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt"].map((file) => join(folder, file)).find((path) => existsSync(path));
  const text = file ? readFileSync(file, "utf8").trim() : "";
  return `${name} ${version} (${license})\n${"=".repeat(72)}\n${text}\n`;
}
