// The long forms of what `npm test` does in short: many more seeds of the simulation, many more connections
// through the executable.
//   npm run soak [-- --seeds N] [--connections N]
import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { fileURLToPath } from "node:url";

/** About an hour on one core. */
const SEEDS = 100_000;
const CONNECTIONS = 2_000_000;
/** Nothing takes longer, whatever was asked for. */
const DEADLINE_MS = 6 * 3_600_000;

const { values } = parseArgs({
  options: { seeds: { type: "string" }, connections: { type: "string" } },
});
const seeds = values.seeds ?? String(SEEDS);
const connections = values.connections ?? String(CONNECTIONS);
for (const [name, value] of Object.entries({ seeds, connections })) {
  if (!/^[1-9]\d{0,9}$/.test(value)) {
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
];
const passed = results.filter((passed) => passed).length;
console.log(`${passed} passed, ${results.length - passed} failed`);
process.exit(passed === results.length ? 0 : 1);
