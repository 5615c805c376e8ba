// Runs seeds over the sources beside it until one fails: the process that looks for a planted bug. Prints
// what caught it, or that nothing did.
import { Tally } from "./calls.ts";
import { openMemory, runHttpSeed, runSeed, runSteadySeed } from "./seeds.ts";

const FROM = Number(process.argv[2]), SEEDS_MAX = Number(process.argv[3]);
const RUNS = new Map([["tcp", runSeed], ["http", runHttpSeed], ["steady", runSteadySeed]]);
const run = RUNS.get(process.argv[4])!;
const BY_US = /^seed \d+: (Broken|BrokenContract|Mismatch|TableError|BugError):/;

const memory = await openMemory();
let verdict = "survived";
for (let seed = FROM; seed < FROM + SEEDS_MAX && verdict === "survived"; seed++) {
  try {
    run(seed, memory, new Tally());
  } catch (error) {
    // Anything else is no finding but a copy that does not run.
    const { message } = error as Error;
    verdict = `${BY_US.test(message) ? "caught" : "broken"}: ${message.split("\n", 1)[0]}`;
  }
}
console.log(verdict);
