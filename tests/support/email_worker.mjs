// Runs the Email Worker in the runtime it is made for. The first line on standard output is its address; each
// letter that it sends makes a line with the file of it.
//
// Usage: node email_worker.mjs MINIFLARE SOURCES BINDINGS

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [, , home, sources, bindings] = process.argv;
const { Miniflare, Log, LogLevel } = await import(pathToFileURL(join(home, "dist/src/index.js")).href);

class Lines extends Log {
  log(message) {
    process.stdout.write(`${message}\n`);
  }
}

const names = ["index.js", ...readdirSync(sources).filter((name) => name.endsWith(".js") && name !== "index.js")];
const miniflare = new Miniflare({
  log: new Lines(LogLevel.INFO),
  host: "127.0.0.1",
  port: 0,
  modules: names.map((name) => ({ type: "ESModule", path: join(sources, name) })),
  modulesRoot: sources,
  compatibilityDate: "2025-09-01",
  bindings: JSON.parse(bindings),
  kvNamespaces: ["SENT"],
  email: { send_email: [{ name: "EMAIL" }] },
  unsafeTriggerHandlers: true,
  // Nothing is asked of the network.
  cf: false,
});
process.stdout.write(`ready ${(await miniflare.ready).href}\n`);
process.on("SIGTERM", async () => {
  await miniflare.dispose();
  process.exit(0);
});
