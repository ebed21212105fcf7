import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";
import { gzip } from "./build/gzip.ts";
import { licences } from "./build/licences.ts";

// Where `npm run dev` finds a running Hooklog. A foreign Origin would be refused, so the proxy takes it away.
const server = process.env.HOOKLOG_URL ?? "http://127.0.0.1:3000";
const proxied = {
  target: server,
  changeOrigin: true,
  configure: (proxy: { on(event: "proxyReq", listener: (request: { removeHeader(name: string): void }) => void): void }) => {
    proxy.on("proxyReq", (request) => {
      for (const header of ["origin", "referer", "x-forwarded-for", "x-forwarded-host"]) request.removeHeader(header);
    });
  },
};

export default defineConfig({
  base: "/dashboard/",
  plugins: [svelte(), licences(), gzip()],
  build: {
    target: "es2023",
    // The policy of the server allows no inline anything, data URLs included.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: { proxy: { "/api": proxied, "/health": proxied, "/openapi.json": proxied } },
  preview: { proxy: { "/api": proxied, "/health": proxied, "/openapi.json": proxied } },
  test: { include: ["src/**/*.test.ts"] },
});
