// The long forms of what `npm test` does in short: many more seeds of the simulation, many more connections
// through the executable, many more WebSockets at once, much longer bodies.
//   npm run soak [-- --seeds N] [--connections N] [--web-sockets N] [--bytes N] [--upgraded N]
//     [--reloads N] [--held N]
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";

/** How many of each: about an hour on one core. */
const MANY = {
  seeds: "100000",
  connections: "2000000",
  /** At once. Each takes two of the fds that one process may have, here and in Sluice. */
  "web-sockets": "5000",
  /** Of each body. */
  bytes: "10000000000",
  /** Of connect, request, close, while UPGRADES pass. */
  upgraded: "100000",
  /** In a row, with `held` connections of TCP and as many WebSockets open. */
  reloads: "1000",
  held: "3000",
};
const UPGRADES = "10";
/** Nothing takes longer, whatever was asked for. */
const DEADLINE_MS = 6 * 3_600_000;

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: MANY.seeds },
    connections: { type: "string", default: MANY.connections },
    "web-sockets": { type: "string", default: MANY["web-sockets"] },
    bytes: { type: "string", default: MANY.bytes },
    upgraded: { type: "string", default: MANY.upgraded },
    reloads: { type: "string", default: MANY.reloads },
    held: { type: "string", default: MANY.held },
  },
});
const { seeds, connections, "web-sockets": webSockets, bytes, upgraded, reloads, held } = values;
for (const [name, value] of Object.entries(values)) {
  if (!/^[1-9]\d{0,11}$/.test(value)) {
    console.error(`soak: --${name} takes a whole number, not ${JSON.stringify(value)}`);
    process.exit(2);
  }
}

/** Runs one test file on this very runtime, its output as it comes; resolves to whether it passed. */
function run(title: string, file: string, env: Record<string, string>): Promise<boolean> {
  console.log(`soak: ${title}`);
  const command = ["test", "--timeout", String(DEADLINE_MS), file];
  const child = spawn(process.execPath, command, {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    env: { ...process.env, ...env },
    stdio: "inherit",
    timeout: DEADLINE_MS,
  });
  return new Promise((resolve) => child.on("exit", (status) => resolve(status === 0)));
}

const results = [
  await run(`${seeds} seeds of the simulation`, "test/sim/sim_test.ts", { SLUICE_SIM_SEEDS: seeds }),
  await run(`${connections} connections through the executable`, "test/wire/churn_test.ts", {
    SLUICE_CHURN: connections,
  }),
  await run(`${webSockets} WebSockets at once`, "test/wire/web_sockets_test.ts", {
    SLUICE_SOAK_WEB_SOCKETS: webSockets,
  }),
  await run(`${upgraded} requests across ${UPGRADES} upgrades`, "test/wire/upgrade_load_test.ts", {
    SLUICE_SOAK_UPGRADED: upgraded,
    SLUICE_SOAK_UPGRADES: UPGRADES,
  }),
  await run(`${reloads} reloads with ${held} connections and WebSockets`, "test/wire/reload_many_test.ts", {
    SLUICE_SOAK_RELOADS: reloads,
    SLUICE_SOAK_HELD: held,
  }),
  await run(`bodies of ${bytes} bytes`, "test/wire/http_soak_test.ts", { SLUICE_SOAK_BYTES: bytes }),
];
const passed = results.filter((passed) => passed).length;
console.log(`${passed} passed, ${results.length - passed} failed`);
process.exit(passed === results.length ? 0 : 1);
