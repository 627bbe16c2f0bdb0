import { defineConfig } from "vitest/config";

export default defineConfig({
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
