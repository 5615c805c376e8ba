// `sluice explain`: reads the question, and answers it from a configuration, or has the running process answer.
import process from "node:process";
import { LiveError } from "../admin_client.ts";
import type { Parts } from "../app.ts";
import { FLAGS, isListen } from "../config/command_line.ts";
import { type ConfigProblem, shown } from "../config/errors.ts";
import { parseFlags } from "../config/flags.ts";
import { parseRun } from "../config/run.ts";
import type { VerbArguments } from "../config/verbs.ts";
import { explain } from "../explain/explain.ts";
import type { Explanation } from "../explain/explanation.ts";
import { askRunning } from "../explain/live.ts";
import { offlineWorld, openOffline } from "../explain/offline.ts";
import { type Asked, FORMS, type Question, readQuestion } from "../explain/question.ts";
import { explanationText } from "../explain/text.ts";
import { doorOf } from "./door.ts";
import { refused, type Said, said } from "./said.ts";

type Problems = { readonly problems: ConfigProblem[] };

/** Status 0: answered; 1: the running process cannot be asked; 2: a mistake. */
export async function explainVerb({ values, rest }: VerbArguments, parts: Parts): Promise<Said> {
  const split = splitQuestion(rest, values.has("--config") || values.has("--live"));
  if ("problems" in split) return refused(split.problems);
  const [from] = values.get("--from") ?? [],
    [proxied] = values.get("--proxied") ?? [],
    [sni] = values.get("--sni") ?? [],
    [alpn] = values.get("--alpn") ?? [],
    headers = values.get("--header") ?? [];
  const asked: Asked = { what: split.what, method: split.method, from, proxied, sni, alpn, headers };
  const question = readQuestion(asked);
  if ("problems" in question) return refused(question.problems);
  let answer: Explanation | Problems;
  try {
    answer = values.has("--live")
      ? await live(values, split.config, asked)
      : await offline(values, split.config, question, parts);
  } catch (error) {
    if (!(error instanceof LiveError)) throw error;
    return { status: error.status, stdout: "", stderr: `sluice: ${error.message}\n` };
  }
  if ("problems" in answer) return refused(answer.problems);
  const [format] = values.get("--format") ?? ["text"];
  return said(format === "json" ? JSON.stringify(answer, null, 2) + "\n" : explanationText(answer));
}

function error(where: string, what: string, remedy: string): Problems {
  return { problems: [{ where, what, remedy, severity: "error" }] };
}

/** Answers from a file, or from a configuration on the command line. */
async function offline(
  values: VerbArguments["values"],
  rest: readonly string[],
  question: Question,
  parts: Parts,
): Promise<Explanation | Problems> {
  for (const flag of ["--admin", "--admin-token"]) {
    if (values.has(flag)) return error(flag, "nobody is asked there", "add --live, or leave it out");
  }
  const parsed = parse(values, rest);
  if ("problems" in parsed) return parsed;
  await openOffline(parts.library());
  const world = await offlineWorld(parsed);
  return "problems" in world ? world : explain(world, question);
}

function parse(values: VerbArguments["values"], rest: readonly string[]): ReturnType<typeof parseFlags> {
  const file = values.get("--config");
  return file === undefined ? parseFlags(rest, process.env) : parseRun(["explain", "-c", file[0], ...rest]);
}

/** Asks the process that runs: where --admin says, or a file, or where it is by default. */
async function live(
  values: VerbArguments["values"],
  rest: readonly string[],
  asked: Asked,
): Promise<Explanation | Problems> {
  if (rest.length > 0) {
    return error(
      shown(rest[0]),
      "a configuration besides --live",
      "leave it out: the running process has its own",
    );
  }
  const door = doorOf(values);
  return "problems" in door ? door : await askRunning(door, asked);
}

/** What of the arguments is the question: an address or URL that is no LISTEN=TARGETS, else the last one that could
 * be both; and a method before it. The rest is a configuration. `hasOther`: one comes from elsewhere. */
export function splitQuestion(
  rest: readonly string[],
  hasOther: boolean,
): { what: string; method?: string; config: string[] } | Problems {
  const places = positionals(rest);
  const candidates = places.filter((at) => isListen(rest[at]));
  const bare = candidates.filter((at) => !rest[at].includes("="));
  if (bare.length > 1) return error(shown(rest[bare[1]]), "a second question", "ask one at a time");
  const isLast = hasOther || candidates.length > 1;
  const at = bare[0] ?? (isLast ? candidates.at(-1) : undefined);
  if (at === undefined) {
    return error("explain", "no question", FORMS);
  }
  const before = places.includes(at - 1) ? rest[at - 1] : undefined;
  const method = before !== undefined && /^[A-Za-z-]+$/.test(before) ? before : undefined;
  const config = rest.filter((_, index) => index !== at && !(method !== undefined && index === at - 1));
  return { what: rest[at], method, config };
}

/** Where arguments stand that are no flags and no values of flags. */
function positionals(rest: readonly string[]): number[] {
  const valued = new Set(FLAGS.map(({ name }) => name));
  const places: number[] = [];
  for (let at = 0; at < rest.length; at++) {
    if (valued.has(rest[at])) at++;
    else if (!rest[at].startsWith("-")) places.push(at);
  }
  return places;
}
