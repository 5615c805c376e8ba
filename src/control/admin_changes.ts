// What the admin API changes: each path a POST of JSON, which no page in a browser can send here (it would have to ask
// first, and is answered nothing that lets it), and each change a line of the log. Nothing else changes anything.
import type { Context, Hono } from "hono";
import {
  readCloseQuestion,
  readLevelQuestion,
  readServerQuestion,
  readUpgradeQuestion,
  type ServerQuestion,
} from "./admin_questions.ts";
import { type Asker, type Audit, byText } from "./audit.ts";
import { type ConfigProblem, formatProblems, shown } from "./config/errors.ts";
import { counted } from "./config/units.ts";
import { type CloseAnswer, closeFound, closeNamed } from "./connections/close.ts";
import { readQuery } from "./connections/query.ts";
import type { Level } from "./log.ts";
import type { Changed, Standing } from "./overrides.ts";
import { type Sight, sum } from "./sight.ts";
import type { UpgradeAnswer } from "./upgrade/answer.ts";

export const CHANGES: Readonly<Record<string, string>> = {
  "/drain":
    'a server gets nothing new, or does again; POST of { "server": ADDRESS, "upstream": NAME, "undo": true }; JSON',
  "/disable":
    'a server gets nothing new and is not checked; POST of { "server": ADDRESS, "upstream": NAME }; JSON',
  "/enable": "a server is neither drained nor disabled any more; POST likewise; JSON",
  "/weight":
    'a server has another weight; POST of { "server": ADDRESS, "upstream": NAME, "weight": N }, null for the configured one; JSON',
  "/close":
    'connections are closed; POST of { "connections": [ID, ...] }, of filters as /connections has them, or of { "all": true }; JSON',
  "/reload": "the configuration's file is read again, and goes if it is good; POST of {}; JSON",
  "/log-level": 'the log has another level; POST of { "level": "debug" }, null for the configured one; JSON',
  "/upgrade":
    'the process goes on in a new one; POST of { "path": EXECUTABLE }, or {} for the one it was started as; JSON',
};

const BODY_BYTES_MAX = 64 << 10;
/** Connections that a line of the log names. */
const NAMED_MAX = 8;

const UNTRUSTED: ConfigProblem = {
  where: "path",
  what: "anybody on this machine can ask here, and what is named is run as Sluice's user",
  remedy:
    "ask by a unix socket (--admin unix:/PATH), or have an admin-token; or name none, for the one it was started as",
  severity: "error",
};

type Problems = { readonly problems: readonly ConfigProblem[] };

/** What is being handed over must not end meanwhile. */
const BUSY: Problems = {
  problems: [{
    where: "",
    what: "an upgrade is under way",
    remedy: "ask again in a few seconds",
    severity: "error",
  }],
};

/** A server that was meant, as it is now. */
export interface ServerChanged {
  readonly upstream: string;
  readonly address: string;
  readonly drained: boolean;
  readonly disabled: boolean;
  readonly weight: number;
  readonly configured_weight: number;
  /** Whether it was not so before. */
  readonly changed: boolean;
  /** That go on. */
  readonly connections: number;
}

/** The answer of /drain, /disable, /enable and /weight. */
export interface ServersChanged {
  readonly servers: readonly ServerChanged[];
}

/** The answer of /log-level. */
export interface LevelChanged {
  readonly level: Level;
  readonly configured_level: Level;
  readonly before: Level;
}

/** Changes something for somebody. */
type Change = (text: string, asker: Asker) => object | Problems | Promise<object | Problems>;

/** Adds the paths to the API. `isTrusted`: whoever asks has shown a token, or came by a socket that only our user and root
 * can open; else anybody on this machine may have asked. */
export function addChanges(
  app: Hono,
  sight: Sight,
  audit: Audit,
  askerOf: (context: Context) => Asker,
  isTrusted: () => boolean,
): void {
  const answers = (path: string, change: Change): void => {
    app.post(path, async (context) => {
      const body = await bodyOf(context);
      if (body instanceof Response) return body;
      const answer = await change(body, askerOf(context));
      if ("problems" in answer) return context.text(formatProblems((answer as Problems).problems), 400);
      return context.body(JSON.stringify(answer, null, 2) + "\n", isRefused(answer) ? 409 : 200, {
        "Content-Type": "application/json",
      });
    });
  };
  for (const kind of ["drain", "disable", "enable", "weight"] as const) {
    answers(`/${kind}`, (text, asker) => {
      const question = readServerQuestion(kind, text);
      return "problems" in question ? question : changeServers(sight, audit, asker, question);
    });
  }
  answers("/close", (text, asker) => sight.upgrading.underWay ? BUSY : close(sight, audit, asker, text));
  answers("/upgrade", (text, asker) => upgrade(sight, audit, asker, text, isTrusted()));
  answers("/reload", (_, asker) => sight.reload(`asked ${byText(asker)}`));
  answers("/log-level", (text, asker) => changeLevel(sight, audit, asker, text));
}

/** It was understood, and what is there is in its way. */
function isRefused(answer: { readonly reloaded?: boolean; readonly upgraded?: boolean }): boolean {
  return answer.reloaded === false || answer.upgraded === false;
}

/** The body, or why it is not taken. Who takes too long to send it is ended by the server (admin.ts). */
async function bodyOf(context: Context): Promise<string | Response> {
  if (!/^application\/json *(;|$)/i.test(context.req.header("content-type") ?? "")) {
    return context.text("send JSON: Content-Type: application/json\n", 415);
  }
  const length = context.req.header("content-length");
  if (length === undefined) return context.text("give a Content-Length\n", 411);
  if (!(Number(length) <= BODY_BYTES_MAX)) {
    return context.text(`a Content-Length of at most ${BODY_BYTES_MAX} is asked for\n`, 413);
  }
  try {
    return await context.req.text();
  } catch {
    return context.text("the body did not come\n", 400); // who broke off reads no answer either
  }
}

function changeServers(
  sight: Sight,
  audit: Audit,
  asker: Asker,
  { meant, change }: ServerQuestion,
): ServersChanged | Problems {
  const done = sight.overrides.change(meant, change);
  if ("problems" in done) return done;
  const servers = done.map((changed): ServerChanged => {
    const { entry: { number, upstream, address, configuredWeight }, after: { drained, disabled, weight } } =
      changed;
    return {
      upstream,
      address,
      drained,
      disabled,
      weight: weight ?? configuredWeight,
      configured_weight: configuredWeight,
      changed: isChanged(changed),
      connections: sum(sight.reactors, "serverCurrent", number),
    };
  });
  done.forEach((changed, nth) => {
    if (!servers[nth].changed) return;
    const { upstream, address, connections } = servers[nth], [before, after] = changeTexts(changed);
    const goOn = change.kind === "weight" ? "" : `, ${counted(connections, "connection")} at it`;
    audit.changed(asker, `${address} of upstream ${shown(upstream)}: ${before} -> ${after}${goOn}`, {
      change: change.kind,
      upstream,
      server: address,
      before,
      after,
    });
  });
  return { servers };
}

/** A weight that is said to be what it is configured as is a change as well: it will not follow the configuration. */
function isChanged({ before, after }: Changed): boolean {
  return before.drained !== after.drained || before.disabled !== after.disabled ||
    before.weight !== after.weight;
}

function changeTexts(
  { entry: { configuredWeight }, before, after }: Changed,
): [before: string, after: string] {
  if (before.weight === after.weight) return [standingText(before), standingText(after)];
  const weightText = ({ weight }: Standing): string =>
    weight === undefined ? `weight ${configuredWeight} as configured` : `weight ${weight}`;
  return [weightText(before), weightText(after)];
}

function standingText({ drained, disabled }: Standing): string {
  if (drained && disabled) return "drained and disabled";
  return drained ? "drained" : disabled ? "disabled" : "in use";
}

async function close(
  sight: Sight,
  audit: Audit,
  asker: Asker,
  text: string,
): Promise<CloseAnswer | Problems> {
  const question = readCloseQuestion(text);
  if ("problems" in question) return question;
  const { ids, filters } = question;
  const query = readQuery(filters, sight.directory);
  if ("problems" in query) return query;
  const answer = ids.length > 0 ? await closeNamed(sight, ids) : await closeFound(sight, query);
  const { closed, gone, unanswered } = answer;
  const which = ids.length > 0
    ? ids.slice(0, NAMED_MAX).join(" ") +
      (ids.length > NAMED_MAX ? ` and ${ids.length - NAMED_MAX} more` : "")
    : filters.length > 0
    ? filters.map(([filter, value]) => `${filter} ${value}`).join(", ")
    : "all";
  if (closed + unanswered > 0) {
    const others = gone === 0 ? "" : `, ${gone} had ended before`;
    audit.changed(asker, `closed ${counted(closed, "connection")} (${shown(which, 400)})${others}`, {
      change: "close",
      which,
      closed,
      gone,
      unanswered,
    });
  }
  return answer;
}

async function upgrade(
  { upgrading }: Sight,
  audit: Audit,
  asker: Asker,
  text: string,
  isTrusted: boolean,
): Promise<UpgradeAnswer | Problems> {
  const question = readUpgradeQuestion(text);
  if ("problems" in question) return question;
  if (question.path !== undefined && !isTrusted) { // it would be run as our user
    audit.refused(asker, `POST /upgrade to ${shown(question.path)}`, 400, UNTRUSTED.what);
    return { problems: [UNTRUSTED] };
  }
  const answer = await upgrading.upgrade(question.path), { upgraded, pid, version } = answer;
  if (upgraded) {
    audit.changed(asker, `upgraded to process ${pid}, version ${version}`, {
      change: "upgrade",
      pid,
      version,
    });
  }
  return answer;
}

function changeLevel({ log }: Sight, audit: Audit, asker: Asker, text: string): LevelChanged | Problems {
  const question = readLevelQuestion(text);
  if ("problems" in question) return question;
  const before = log.level, wasSet = log.override !== undefined;
  log.set(question.level);
  if (log.level !== before || (log.override !== undefined) !== wasSet) {
    const after = question.level === undefined ? `${log.level} as configured` : log.level;
    audit.changed(asker, `the log's level: ${before} -> ${after}`, {
      change: "log-level",
      before,
      after: log.level,
    });
  }
  return { level: log.level, configured_level: log.configuredLevel, before };
}
