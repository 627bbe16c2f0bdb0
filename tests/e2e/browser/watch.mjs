// By hand: plays a watch page, opens the quality menu, switches down and back, and leaves screenshots.
//   node watch.mjs http://127.0.0.1:8080/watch/NAME DIR [LATENCY_SAMPLES]

import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const [url, dir, samples] = process.argv.slice(2);
if (!url || !dir) {
  console.error("usage: node watch.mjs WATCH_URL DIR [LATENCY_SAMPLES]");
  process.exit(64);
}
mkdirSync(dir, { recursive: true });
const driver = spawn(process.execPath, [join(dirname(fileURLToPath(import.meta.url)), "driver.mjs")], {
  stdio: ["pipe", "pipe", "inherit"],
});
const answers = createInterface({ input: driver.stdout })[Symbol.asyncIterator]();
await answers.next();
async function say(line) {
  driver.stdin.write(`${line}\n`);
  const answer = JSON.parse((await answers.next()).value);
  console.log(`${line}\n    ${JSON.stringify(answer)}`);
  if (!answer.ok) process.exitCode = 1;
  return answer;
}
await say(`open ${url} 1280x800`);
await say("playing 5");
const { items = [] } = await say("menu open");
await say(`shot ${join(dir, "menu.png")}`);
for (const height of items.filter((i) => i !== "auto").reverse().slice(0, 2)) {
  await say(`level ${height}`);
  await say("playing 3");
  await say(`shot ${join(dir, `level-${height}.png`)}`);
}
await say("level auto");
if (samples) await say(`clock ${samples} 120`);
await say("state");
await say(`open ${url} 390x844 dark --touch`);
await say("playing 3");
await say(`shot ${join(dir, "phone-dark.png")}`);
driver.stdin.end("quit\n");
