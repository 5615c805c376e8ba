// The command line's verbs, one small function each. Every one returns the process's exit status:
// 0 well, 1 run time, 2 usage or configuration.
import { App, type Parts, StartError } from "./control/app.ts";
import { asksFor } from "./control/config/command_line.ts";
import { didYouMean, shown } from "./control/config/errors.ts";
import { parseFlags } from "./control/config/flags.ts";
import { helpText, verbHelp } from "./control/config/help.ts";
import { readVerb, verbOf, VERBS } from "./control/config/verbs.ts";
import { demo } from "./control/demo.ts";
import { refused, type Said, said, saidNo, tell } from "./control/verbs/said.ts";
import { ChannelError } from "./control/upgrade/channel.ts";
import { noteOrigin } from "./control/upgrade/program.ts";
import { Succession } from "./control/upgrade/succession.ts";
import { VERSION } from "./control/version.ts";

/** The load balancer that runs, once it does. */
let app: App | undefined;

export async function command(argv: readonly string[], own: Parts): Promise<number> {
  noteOrigin();
  let library: string | undefined;
  const parts = { ...own, library: () => library ??= own.library() };
  // From the first moment on: these would end the process where nobody listens for them.
  process.on("SIGUSR1", () => app?.reopenLogs());
  process.on("SIGHUP", () => void app?.reload("SIGHUP"));
  process.on("SIGUSR2", () => void app?.upgrade());
  const asked = verbOf(argv[0] === "help" ? argv[1] ?? "" : argv[0] ?? "");
  const question = argv[0] === "help" ? "help" : asksFor(argv);
  if (argv[0] === "help" && argv.length > 1 && asked === undefined) return await tell(noVerb(argv[1]));
  if (question === "help") return await tell(said(asked === undefined ? helpText() : verbHelp(asked)));
  if (question === "version") return await tell(said(`sluice ${VERSION}\n`));
  if (argv[0] === "demo") return await demo(argv.slice(1), parts);
  if (argv[0] === "run") {
    const { hereAndNow, parseRun, WATCH_FLAG } = await import("./control/config/run.ts");
    const { recording } = await import("./control/config_watch.ts");
    const parse = () => {
      const { result, read } = recording((disk) => parseRun(argv, { ...hereAndNow(), disk }));
      return { ...result, read };
    };
    return await start(parse, parts, { isFile: true, watch: argv.includes(WATCH_FLAG) });
  }
  const verb = verbOf(argv[0] ?? "");
  if (verb === undefined) return await start(() => parseFlags(argv, process.env), parts);
  const given = readVerb(verb, argv.slice(1));
  if ("problems" in given) return await tell(refused(given.problems));
  switch (verb.name) {
    // Each verb gets its line here: its work is in control/verbs/NAME.ts, loaded when it is asked for.
    case "check":
      return await tell(await (await import("./control/verbs/check.ts")).check(given, parts.library));
    case "print":
      return await tell((await import("./control/verbs/print.ts")).print(given));
    case "explain":
      return await tell(await (await import("./control/verbs/explain.ts")).explainVerb(given, parts));
    case "status":
      return await tell(await (await import("./control/verbs/status.ts")).status(given));
    case "connections":
      return await tell(await (await import("./control/verbs/connections.ts")).connections(given));
    case "servers":
      return await tell(await (await import("./control/verbs/servers.ts")).servers(given));
    case "upgrade":
      return await tell(await (await import("./control/verbs/upgrade.ts")).upgrade(given));
    case "drain":
    case "disable":
    case "enable":
    case "weight":
      return await tell(await (await import("./control/verbs/change.ts")).changeServer(verb.name, given));
    case "close":
      return await tell(await (await import("./control/verbs/close.ts")).close(given));
    case "reload":
      return await tell(await (await import("./control/verbs/reload.ts")).reload(given));
    case "log-level":
      return await tell(await (await import("./control/verbs/log_level.ts")).logLevel(given));
    case "why":
      return await tell((await import("./control/verbs/why.ts")).why(given));
    case "doctor":
      return await tell(await (await import("./control/verbs/doctor.ts")).doctor(given, parts.library));
    case "schema":
      return await tell((await import("./control/verbs/schema.ts")).schema(given));
    case "completion":
      return await tell((await import("./control/verbs/completion.ts")).completion(given));
    default:
      throw new Error(`commands: no such verb as ${verb.name}`);
  }
}

/** The quick mode has everything from flags, run from a file. SIGTERM drains; a second one, or SIGINT, ends now. SIGUSR1
 * reopens the access log's file, SIGUSR2 upgrades, SIGHUP reads the configuration's, if there is one. */
async function start(
  parse: () => ReturnType<typeof parseFlags>,
  parts: Parts,
  { isFile = false, watch = false } = {},
): Promise<number> {
  let succession: Succession | undefined;
  try {
    succession = await Succession.begin(parts.library);
    const parsed = parse();
    if ("problems" in parsed) {
      const said = refused(parsed.problems);
      await succession?.fail(said.stderr.trimEnd().split("\n"));
      return await tell(said);
    }
    const reread = isFile ? parse : undefined;
    const started = app = await App.start({ ...parts, ...parsed, succession, reread, watch });
    process.on("SIGTERM", (signal) => started.draining ? started.endBy(signal) : started.drain());
    process.on("SIGINT", (signal) => started.endBy(signal));
    started.tellReady();
    return await started.done;
  } catch (error) {
    const known = error instanceof ChannelError ? new StartError([error.message], 1) : error;
    if (!(known instanceof StartError)) throw error;
    await succession?.fail(known.lines);
    process.stderr.write(known.lines.map((line) => `sluice: ${line}\n`).join(""));
    return known.status;
  }
}

function noVerb(word: string): Said {
  const remedy = didYouMean(word, VERBS.map(({ name }) => name), "see sluice --help");
  return saidNo({ where: shown(word), what: "no command of Sluice's", remedy });
}
