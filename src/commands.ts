// The command line's verbs, one small function each. Every one returns the process's exit status:
// 0 well, 1 run time, 2 usage or configuration.
import { App, type Parts, StartError } from "./control/app.ts";
import { type ConfigProblem, formatProblems } from "./control/config/errors.ts";
import { asksFor } from "./control/config/command_line.ts";
import { parseFlags } from "./control/config/flags.ts";
import { helpText } from "./control/config/help.ts";
import { parseRun } from "./control/config/run.ts";
import { readVerb, verbOf } from "./control/config/verbs.ts";
import { demo } from "./control/demo.ts";
import { explainVerb } from "./control/verbs/explain.ts";
import { VERSION } from "./control/version.ts";

export async function command(argv: readonly string[], parts: Parts): Promise<number> {
  const question = argv[0] === "help" ? "help" : asksFor(argv);
  if (question === "help") return print(helpText());
  if (question === "version") return print(`sluice ${VERSION}\n`);
  if (argv[0] === "demo") return await demo(argv.slice(1), parts);
  if (argv[0] === "run") return await start(parseRun(argv, process.env), parts);
  const verb = verbOf(argv[0] ?? "");
  if (verb === undefined) return await start(parseFlags(argv, process.env), parts);
  const given = readVerb(verb, argv.slice(1));
  if ("problems" in given) return refuse(given.problems);
  switch (verb.name) {
    // Each verb gets its line here: its work is in control/verbs/NAME.ts.
    case "explain":
      return await explainVerb(given, parts);
    default:
      throw new Error(`commands: no such verb as ${verb.name}`);
  }
}

function refuse(problems: readonly ConfigProblem[]): number {
  process.stderr.write(formatProblems(problems));
  return 2;
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

/** The quick mode has everything from flags, run from a file. */
async function start(parsed: ReturnType<typeof parseFlags>, parts: Parts): Promise<number> {
  if ("problems" in parsed) return refuse(parsed.problems);
  try {
    const app = await App.start({ ...parts, ...parsed });
    obeySignals(app);
    return await app.done;
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    process.stderr.write(error.lines.map((line) => `sluice: ${line}\n`).join(""));
    return error.status;
  }
}

/** SIGTERM drains; a second one, or SIGINT, ends now. SIGUSR1 reopens the access log's file. SIGHUP, which would
 * end the process where nobody listens for it, changes nothing and says so. */
function obeySignals(app: App): void {
  process.on("SIGTERM", (signal) => app.draining ? app.endBy(signal) : app.drain());
  process.on("SIGINT", (signal) => app.endBy(signal));
  process.on("SIGUSR1", () => app.reopenLogs());
  process.on("SIGHUP", () => app.hangUp());
}
