// A line of the access log for a request, printed where it ended: at a hundred thousand a second there is
// no time to hand numbers to another thread and make texts of them there. The control plane only writes
// what it finds. Same words in both formats as control/access_log.ts has for plain connections.
import {
  ARENA_PRINT,
  ARENA_SCRATCH,
  HOST_BYTES_TOLD,
  LOG_LINE_BYTES_MAX,
  NONE,
  TARGET_BYTES_TOLD,
} from "../base/limits.ts";
import { AccessFormat, type Plan } from "../plan/plan.ts";
import {
  FULL,
  isMapped,
  print,
  printBegin,
  printBytes,
  printDecimal,
  printEnd,
  printIp,
  printQuoted,
  printTenths,
  printWords,
  type Text,
  text,
} from "../proto/http1_print.ts";
import { stampOf } from "../proto/http_date.ts";
import { REFUSALS } from "../proto/refusal.ts";
import { Reason, REASONS } from "../shared/reason.ts";
import { ExFlag } from "../shared/tables.ts";
import { errnoName } from "../sys/errno.ts";
import { arenaBytes, clockMs, wallMs } from "../sys/sys.ts";
import { log } from "./context.ts";
import {
  exConnectMs,
  exDownBytes,
  exErrno,
  exFirstMs,
  exFlags,
  exHost,
  exHostEnd,
  exKept,
  exListener,
  exMethodEnd,
  exQueuedMs,
  exReason,
  exRoute,
  exServer,
  exStartMs,
  exStatus,
  exTargetEnd,
  exTried,
  exUnqueuedMs,
  exUpBytes,
  exUpstream,
} from "./exchanges.ts";

/** What stands around a text, and instead of it. */
interface Value {
  readonly before: Text;
  readonly behind: Text;
  readonly none: Text;
}

const value = (before: string, behind: string, none: string): Value => ({
  before: text(before),
  behind: text(behind),
  none: text(none),
});

/** The words between the values, one set for each format. */
interface Words {
  readonly json: boolean;
  readonly client: Text;
  /** Method and target, and what stands between them. */
  readonly request: Value;
  readonly target: Text;
  readonly host: Value;
  readonly status: Text;
  readonly server: Value;
  readonly listener: Value;
  readonly route: Value;
  readonly upstream: Value;
  readonly up: Text;
  readonly down: Text;
  readonly queue: Text;
  readonly connect: Text;
  readonly first: Text;
  readonly total: Text;
  readonly tried: Text;
  readonly reused: readonly [no: Text, yes: Text];
  readonly none: Text;
  /** From the reason's name on, by Reason. */
  readonly reason: readonly Text[];
  /** By errno, and by Refusal; [0] for none. */
  readonly errno: readonly Text[];
  readonly detail: readonly Text[];
  readonly end: Text;
}

/** The highest errno that Linux has. */
const ERRNO_MAX = 133;
const ERRNOS = Array.from({ length: ERRNO_MAX + 1 }, (_, errno) => errnoName(errno));

const TEXT: Words = {
  json: false,
  client: text("Z "),
  request: value(' "', '"', ' "-"'),
  target: text(" "),
  host: value(" ", "", " -"),
  status: text(" "),
  server: value(" -> ", "", " -> -"),
  listener: value(' listener="', '"', ' listener=""'),
  route: value(' route="', '"', ' route=""'),
  upstream: value(' upstream="', '"', ' upstream=""'),
  up: text(" up="),
  down: text(" down="),
  queue: text(" queue="),
  connect: text(" connect="),
  first: text(" first="),
  total: text(" ms="),
  tried: text(" tried="),
  reused: [text(" reused=0 reason="), text(" reused=1 reason=")],
  none: text("-"),
  reason: REASONS.map(({ name, type }) => text(type === null ? name : `${name} type=${type}`)),
  errno: ERRNOS.map((name, errno) => text(errno === 0 ? "" : ` errno="${name}"`)),
  detail: REFUSALS.map((refusal, code) => text(code === 0 ? "" : ` detail="${refusal.text}"`)),
  end: text("\n"),
};

const JSON_WORDS: Words = {
  json: true,
  client: text('Z","client":"'),
  request: value('","method":"', '"', '","method":null,"target":null'),
  target: text('","target":"'),
  host: value(',"host":"', '"', ',"host":null'),
  status: text(',"status":'),
  server: value(',"server":"', '"', ',"server":null'),
  listener: value(',"listener":"', '"', ',"listener":null'),
  route: value(',"route":"', '"', ',"route":null'),
  upstream: value(',"upstream":"', '"', ',"upstream":null'),
  up: text(',"up_bytes":'),
  down: text(',"down_bytes":'),
  queue: text(',"queue_ms":'),
  connect: text(',"connect_ms":'),
  first: text(',"first_byte_ms":'),
  total: text(',"duration_ms":'),
  tried: text(',"tried":'),
  reused: [text(',"reused":false,"reason":"'), text(',"reused":true,"reason":"')],
  none: text("null"),
  reason: REASONS.map(({ name, type }) => text(`${name}","type":${type === null ? "null" : `"${type}"`}`)),
  errno: ERRNOS.map((name, errno) => text(`,"errno":${errno === 0 ? "null" : `"${name}"`}`)),
  detail: REFUSALS.map((refusal, code) => text(`,"detail":${code === 0 ? "null" : `"${refusal.text}"`}`)),
  end: text("}\n"),
};

const JSON_BEGIN = text('{"time":"');
const COLON = text(":");
const BRACKET = text("[");
const BRACKET_COLON = text("]:");
const UNIX = text("unix:");

/** Prints the line of an exchange that has ended and hands it on; false when there was no room for it. The
 * client's address record is in the scratch page. */
export function accessLine(ex: number, plan: Plan): boolean {
  const words = plan.accessFormat === AccessFormat.Json ? JSON_WORDS : TEXT;
  printBegin(ARENA_PRINT, ARENA_PRINT + LOG_LINE_BYTES_MAX);
  if (words.json) print(JSON_BEGIN);
  print(stampOf(wallMs()));
  print(words.client);
  printClient();
  printRequest(ex, words);
  printPlaces(ex, plan, words);
  printMeasures(ex, words);
  const end = printEnd();
  return end !== FULL && log.putLine(arenaBytes, printWords(), ARENA_PRINT, end);
}

function printClient(): void {
  const family = arenaBytes[ARENA_SCRATCH];
  if (family === 1) return print(UNIX);
  const six = family === 6 && !isMapped(arenaBytes, ARENA_SCRATCH);
  if (six) print(BRACKET);
  printIp(arenaBytes, ARENA_SCRATCH);
  print(six ? BRACKET_COLON : COLON);
  printDecimal((arenaBytes[ARENA_SCRATCH + 2] << 8) | arenaBytes[ARENA_SCRATCH + 3]);
}

function printRequest(ex: number, words: Words): void {
  const kept = exKept[ex];
  if (kept === NONE) print(words.request.none);
  else {
    const from = kept + exMethodEnd[ex] + 1;
    print(words.request.before);
    printQuoted(kept, kept + exMethodEnd[ex], words.json);
    print(words.target);
    printQuoted(from, Math.min(kept + exTargetEnd[ex], from + TARGET_BYTES_TOLD), words.json);
    print(words.request.behind);
  }
  if (kept !== NONE && exHostEnd[ex] > exHost[ex]) {
    print(words.host.before);
    const host = kept + exHost[ex];
    printQuoted(host, Math.min(kept + exHostEnd[ex], host + HOST_BYTES_TOLD), words.json);
    print(words.host.behind);
  } else print(words.host.none);
  print(words.status);
  if (exStatus[ex] === 0) print(words.none);
  else printDecimal(exStatus[ex]);
}

/** Names, from the Plan's arena: they are escaped there for the log's format. */
function printPlaces(ex: number, plan: Plan, words: Words): void {
  const server = exServer[ex], listener = exListener[ex], route = exRoute[ex], upstream = exUpstream[ex];
  printName(plan, words.server, plan.serverNameAt[server], plan.serverNameBytes[server]);
  printName(plan, words.listener, plan.listenerNameAt[listener], plan.listenerNameBytes[listener]);
  const { routeNameAt, routeNameBytes } = plan.routing;
  if (route === NONE) print(words.route.none);
  else printName(plan, words.route, routeNameAt[route], routeNameBytes[route]);
  printName(plan, words.upstream, plan.upstreamNameAt[upstream], plan.upstreamNameBytes[upstream]);
}

/** Row NONE of every column is zero: nobody has no name. */
function printName(plan: Plan, around: Value, at: number, bytes: number): void {
  if (bytes === 0) return print(around.none);
  print(around.before);
  printBytes(plan.arenaWords, at, at + bytes);
  print(around.behind);
}

function printMeasures(ex: number, words: Words): void {
  const start = exStartMs[ex], reason = exReason[ex];
  print(words.up);
  printDecimal(exUpBytes[ex]);
  print(words.down);
  printDecimal(exDownBytes[ex]);
  print(words.queue);
  if (exQueuedMs[ex] === 0) print(words.none);
  else printTenths((exUnqueuedMs[ex] === 0 ? clockMs() : exUnqueuedMs[ex]) - exQueuedMs[ex]);
  print(words.connect);
  if (exConnectMs[ex] === 0) print(words.none);
  else printTenths(exConnectMs[ex] - start);
  print(words.first);
  if (exFirstMs[ex] === 0) print(words.none);
  else printTenths(exFirstMs[ex] - start);
  print(words.total);
  printTenths(clockMs() - start);
  print(words.tried);
  printDecimal(exTried[ex]);
  print(words.reused[exFlags[ex] & ExFlag.Reused ? 1 : 0]);
  print(words.reason[reason]);
  const refused = reason === Reason.BadRequest || reason === Reason.BadAnswer;
  print(words.errno[refused ? 0 : Math.min(exErrno[ex], ERRNO_MAX)]);
  print(words.detail[refused ? exErrno[ex] : 0]);
  print(words.end);
}
