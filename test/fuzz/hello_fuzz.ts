// Fuzzes the reader of TLS hellos against its own promises and a plain reader.
//   npm run fuzz-hello -- [--inputs N] [--seed S] [--first N]
// A failure names its seed and number: `--seed S --first N --inputs 1` makes it again.
import { parseArgs } from "node:util";
import { checkHello } from "./hello_check.ts";
import { make } from "./hello_generator.ts";

const REPORT_EVERY = 200_000;
const FAILURES_MAX = 10;

const { values } = parseArgs({
  options: {
    inputs: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    first: { type: "string", default: "0" },
  },
});
const inputs = Number(values.inputs), seed = Number(values.seed), first = Number(values.first);
const started = performance.now();
const counts = [0, 0, 0, 0, 0, 0, 0]; // by Hello
let failed = 0;

for (let number = first; number < first + inputs && failed < FAILURES_MAX; number++) {
  const bytes = make(seed, number);
  try {
    counts[checkHello(bytes, number)]++;
  } catch (error) {
    failed++;
    console.log(`--seed ${seed} --first ${number} --inputs 1: ${error}`);
    console.log(`  ${Buffer.from(bytes).toString("hex")}`);
  }
  const done = number + 1 - first;
  if (done % REPORT_EVERY === 0 || done === inputs) report(done);
}
process.exit(failed > 0 ? 1 : 0);

function report(done: number): void {
  const [short, found, notTls, http, large, malformed, name] = counts;
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  console.log(
    `${done} inputs in ${seconds} s: ${found} found, ${short} short, ${notTls} not TLS, ${http} HTTP, ` +
      `${large} too large, ${malformed} malformed, ${name} bad names; ${failed} failed`,
  );
}
