// The command line's verbs, one small function each. Every one returns the process's exit status:
// 0 well, 1 run time, 2 usage or configuration.
import { App, type Parts, StartError } from "./control/app.ts";
import { completionScript, SHELLS } from "./control/config/completion.ts";
import { type ConfigProblem, formatProblems, shown } from "./control/config/errors.ts";
import { asksFor } from "./control/config/command_line.ts";
import { parseFlags } from "./control/config/flags.ts";
import { helpText, verbHelp } from "./control/config/help.ts";
import { parseRun } from "./control/config/run.ts";
import { jsonSchema } from "./control/config/json_schema.ts";
import { readVerb, type VerbArguments, verbOf } from "./control/config/verbs.ts";
import { demo } from "./control/demo.ts";
import { check, checkReport } from "./control/verbs/check.ts";
import { printed } from "./control/verbs/print.ts";
import { VERSION } from "./control/version.ts";

export async function command(argv: readonly string[], parts: Parts): Promise<number> {
  const asked = verbOf(argv[0] === "help" ? argv[1] ?? "" : argv[0] ?? "");
  const question = argv[0] === "help" ? "help" : asksFor(argv);
  if (question === "help") return print(asked === undefined ? helpText() : verbHelp(asked));
  if (question === "version") return print(`sluice ${VERSION}\n`);
  if (argv[0] === "demo") return await demo(argv.slice(1), parts);
  if (argv[0] === "run") return await start(parseRun(argv), parts);
  const verb = verbOf(argv[0] ?? "");
  if (verb === undefined) return await start(parseFlags(argv, process.env), parts);
  const given = readVerb(verb, argv.slice(1));
  if ("problems" in given) return refuse(given.problems);
  switch (verb.name) {
    // Each verb gets its line here: its work is in control/verbs/NAME.ts.
    case "check":
      return await checked(given, parts);
    case "print":
      return tellOr(printed(given));
    case "schema":
      return print(JSON.stringify(jsonSchema(), null, 2) + "\n");
    case "completion":
      return tellOr(completion(given));
    default:
      throw new Error(`commands: no such verb as ${verb.name}`);
  }
}

/** Whether a person is looking who has not asked for plain text (no-color.org). */
function inColour(stream: { isTTY?: boolean }): boolean {
  return stream.isTTY === true && (process.env.NO_COLOR ?? "") === "";
}

function refuse(problems: readonly ConfigProblem[]): number {
  process.stderr.write(formatProblems(problems, inColour(process.stderr)));
  return 2;
}

async function checked(given: VerbArguments, parts: Parts): Promise<number> {
  const found = await check(given, parts.library);
  const format = given.values.get("--format")?.[0] ?? "text";
  const { text, status } = checkReport(found, format, inColour(process.stdout));
  process.stdout.write(text);
  return status;
}

function completion({ rest }: VerbArguments): string | { problems: ConfigProblem[] } {
  const shell = SHELLS.find((shell) => shell === rest[0]);
  if (shell !== undefined && rest.length === 1) return completionScript(shell);
  const remedy = `write sluice completion ${SHELLS.join("|")}`;
  const what = rest.length === 0
    ? "no shell"
    : rest.length > 1
    ? "more than one shell"
    : "no shell that is known";
  return { problems: [{ where: shown(rest[0] ?? "completion"), what, remedy, severity: "error" }] };
}

/** Prints what a verb has to say, or why it cannot. */
function tellOr(told: string | { problems: ConfigProblem[] }): number {
  return typeof told === "string" ? print(told) : refuse(told.problems);
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
