import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** What is bundled, all of it: their licences ask to travel along. */
const BUNDLED = ["hls.js", "lit", "lit-html", "lit-element", "@lit/reactive-element"];

function licences(): Plugin {
  const read = (name: string, file: string) => readFileSync(new URL(`node_modules/${name}/${file}`, import.meta.url), "utf8");
  return {
    name: "licences",
    apply: "build",
    generateBundle() {
      const source = BUNDLED.map((name) => {
        const { version } = JSON.parse(read(name, "package.json")) as { version: string };
        return `${name} ${version}\n\n${read(name, "LICENSE")}`;
      }).join(`\n\n${"=".repeat(100)}\n\n`);
      this.emitFile({ type: "asset", name: "licences.txt", source });
    },
  };
}

export default defineConfig({
  plugins: [licences()],
  build: {
    target: "es2022",
    outDir: "dist",
    emptyOutDir: true,
    // Small files too: the server's Content-Security-Policy lets no script or style stand inside the HTML.
    assetsInlineLimit: 0,
    sourcemap: false,
    modulePreload: { polyfill: false },
    // hls.js is one module, loaded by the player's page alone.
    chunkSizeWarningLimit: 800,
  },
  server: {
    // `npm run dev` beside a running gateway.
    proxy: { "/live": "http://127.0.0.1:8080", "/api": "http://127.0.0.1:8080" },
  },
  test: { include: ["test/**/*.test.ts"] },
});
