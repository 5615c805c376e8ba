// Whether a client is let in at all: what the listener's lists and limits say of its address, in the order in which
// they are asked. The lists are those of the Plan; of limits, what is counted now.
import ipaddr from "ipaddr.js";
import { ARENA_SCRATCH, NONE } from "../../base/limits.ts";
import { ENTRY_WORDS, EntryAt, guardOf, type Guards, Tracks } from "../../plan/guards.ts";
import { Protocol } from "../../plan/plan.ts";
import {
  listenerEveryTicks,
  listenerVerdict,
  listVerdict,
  sourceEveryTicks,
  sourceVerdict,
} from "../../policy/guard.ts";
import { listFind } from "../../policy/lists.ts";
import { bucketLeft, ticksAt } from "../../shared/buckets.ts";
import { Reason, REASONS } from "../../shared/reason.ts";
import { sourceFind, sourceKey } from "../../shared/sources.ts";
import { arenaBytes } from "../../sys/sys.ts";
import { shown } from "../config/errors.ts";
import { counted, formatDuration } from "../config/units.ts";
import type { ListenerEntry } from "../directory.ts";
import { decide } from "./decision.ts";
import type { AdmissionStep, AdmissionView, Decision } from "./explanation.ts";
import { placeOf, type World } from "./world.ts";

/** What the guard of a listener says of the client in the scratch page. */
export interface Admission {
  /** Null: it has none. */
  readonly view: AdmissionView | null;
  /** Undefined: the client is let in. */
  readonly refusal: Decision | undefined;
}

const V4 = 4;

/** `how`: by the address of a proxy that tells for whom it comes, or of whoever else sends where only those may, or by
 * the one that was told, or by the client's own. */
type How = "proxy" | "stranger" | "told" | "own";

export function admission(
  world: World,
  { name, number }: ListenerEntry,
  how: How,
): Admission {
  const { guards } = world.plan, guard = guardOf(guards, number);
  if (guard === NONE) return { view: null, refusal: undefined };
  const isProxy = how === "proxy" || how === "stranger";
  const source = isProxy ? NOBODY : sourceOf(world, guard), nowTicks = ticksAt(world.monotonicMs);
  const steps: AdmissionStep[] = [];
  const step = (key: AdmissionStep["name"], passed: boolean, text: string): boolean => {
    const inner = key === "deny" || key === "allow" ? [key] : ["limits", key];
    steps.push({
      of: isProxy ? "proxy" : "client",
      name: key,
      passed,
      text,
      ...placeOf(world, ["listeners", name, ...inner]),
    });
    return passed;
  };
  const reason = walk(world, guard, source, nowTicks, how, step);
  const view = { source: source.text, admitted: reason === Reason.None && how !== "stranger", steps };
  if (reason === Reason.None) return { view, refusal: undefined };
  const { name: code, text } = REASONS[reason];
  const isDatagram = world.plan.listenerProtocol[number] === Protocol.Udp;
  const end = isDatagram
    ? "the datagram is dropped"
    : `the connection is ${guards.guardReset[guard] === 1 ? "reset" : "closed"}`;
  return { view, refusal: decide("refused", `${end} (${code}): ${text}`, { reason: code }) };
}

interface Source {
  readonly row: number;
  /** Null: it counts as nobody's source. */
  readonly text: string | null;
}

const NOBODY: Source = { row: NONE, text: null };

/** The client whose record is in the scratch page. */
function clientText(): string {
  const family = arenaBytes[ARENA_SCRATCH], bytes = family === V4 ? 4 : 16;
  if (family === 1) return "unix";
  return prefixText(arenaBytes.slice(ARENA_SCRATCH + 4, ARENA_SCRATCH + 4 + bytes), 8 * bytes);
}

/** Which row counts for the client, and what it stands for. */
function sourceOf({ plan: { guards }, sources }: World, guard: number): Source {
  if (guards.guardTracks[guard] !== Tracks.Sources) return NOBODY;
  const { guardPrefix4, guardPrefix6, guardLimiter } = guards,
    v4 = guardPrefix4[guard],
    v6 = guardPrefix6[guard];
  if (!sourceKey(sources, guardLimiter[guard], arenaBytes, ARENA_SCRATCH, v4, v6)) {
    return NOBODY;
  }
  const isV4 = arenaBytes[ARENA_SCRATCH] === V4, bits = isV4 ? v4 : v6;
  const ip = arenaBytes.slice(ARENA_SCRATCH + 4, ARENA_SCRATCH + (isV4 ? 8 : 20));
  return { row: sourceFind(sources), text: prefixText(ip, bits) };
}

/** Asks what policy asks, step by step, and says what each step saw. */
function walk(
  world: World,
  guard: number,
  source: Source,
  nowTicks: number,
  how: How,
  step: (key: AdmissionStep["name"], passed: boolean, text: string) => boolean,
): Reason {
  const { plan: { guards }, sources } = world, at = ARENA_SCRATCH;
  const isProxy = how === "proxy" || how === "stranger";
  const listed = listVerdict(guards, guard, arenaBytes, at, isProxy);
  for (
    const [key, list] of [["deny", guards.guardDeny[guard]], ["allow", guards.guardAllow[guard]]] as const
  ) {
    if (list === NONE || (isProxy && key === "allow")) continue;
    const entry = listFind(guards, list, arenaBytes, at);
    const text = entry === NONE
      ? `${clientText()} is not in it`
      : `${clientText()} is in ${entryText(world, entry)}`;
    if (!step(key, key === "deny" ? entry === NONE : entry !== NONE, text)) return listed;
  }
  if (how === "stranger") return Reason.None; // the lists come first, and it comes no further
  if (source.text !== null) {
    const verdict = sourceVerdict(guards, guard, sources, source.row, nowTicks);
    for (const [key, passed, text] of ofSource(world, guard, source, nowTicks, verdict)) {
      if (!step(key, passed, text)) return verdict;
    }
  }
  if (how === "told") return Reason.None; // it was counted by then
  const verdict = listenerVerdict(guards, guard, sources, nowTicks);
  for (const [key, passed, text] of ofListener(world, guard, nowTicks, verdict)) {
    if (!step(key, passed, text)) return verdict;
  }
  return Reason.None;
}

type Limited = [key: AdmissionStep["name"], passed: boolean, text: string];

function ofSource(
  { plan: { guards }, sources }: World,
  guard: number,
  { row, text }: Source,
  nowTicks: number,
  verdict: Reason,
): Limited[] {
  const most = guards.guardSourceConnections[guard], limited: Limited[] = [];
  const has = row === NONE ? 0 : Atomics.load(sources.sourceConnections, row);
  if (most > 0) {
    limited.push(["connections-per-source", verdict !== Reason.SourceLimit, `${text} has ${has} of ${most}`]);
  }
  const amount = guards.guardSourceNew[guard], burst = guards.guardSourceNewBurst[guard];
  if (amount === 0) return limited;
  const every = sourceEveryTicks(guards, guard);
  const left = row === NONE ? burst : bucketLeft(sources.sourceNew, row, nowTicks, every, burst);
  const rate = rateText(amount, guards.guardSourceNewWindowMs[guard]);
  limited.push([
    "new-connections-per-source",
    verdict !== Reason.SourceRate,
    `${text} has ${left} left of ${counted(burst, "connection")} at once, ${rate}`,
  ]);
  return limited;
}

function ofListener(
  { plan: { guards }, sources }: World,
  guard: number,
  nowTicks: number,
  verdict: Reason,
): Limited[] {
  const limiter = guards.guardLimiter[guard], most = guards.guardConnections[guard], limited: Limited[] = [];
  const has = Atomics.load(sources.sourceConnections, limiter);
  if (most > 0) {
    limited.push(["connections", verdict !== Reason.ListenerLimit, `the listener has ${has} of ${most}`]);
  }
  const amount = guards.guardNew[guard], burst = guards.guardNewBurst[guard];
  if (amount === 0) return limited;
  const left = bucketLeft(sources.sourceNew, limiter, nowTicks, listenerEveryTicks(guards, guard), burst);
  const rate = rateText(amount, guards.guardNewWindowMs[guard]);
  limited.push([
    "new-connections",
    verdict !== Reason.ListenerRate,
    `the listener has ${left} left of ${counted(burst, "connection")} at once, ${rate}`,
  ]);
  return limited;
}

function rateText(amount: number, windowMs: number): string {
  return `${amount}/${formatDuration(windowMs).replace(/^1/, "")}`;
}

/** `192.0.2.0/24`, with its file and line if it is in one. */
function entryText({ plan: { guards }, directory }: World, entry: number): string {
  const at = entry * ENTRY_WORDS, text = entryPrefix(guards, at);
  const file = directory.listFiles.get(guards.entry[at + EntryAt.File]);
  return file === undefined
    ? text
    : `${text}, ${shown(file, Infinity)} line ${guards.entry[at + EntryAt.Line]}`;
}

function entryPrefix({ entry: words }: Guards, at: number): string {
  const family = arenaBytes[ARENA_SCRATCH];
  if (family === 1) return "unix";
  const bytes = new DataView(new ArrayBuffer(16));
  for (let word = 0; word < 4; word++) bytes.setInt32(4 * word, words[at + EntryAt.Ip + word]);
  return prefixText(new Uint8Array(bytes.buffer, 0, family === V4 ? 4 : 16), words[at + EntryAt.Bits]);
}

/** The first `bits` of an address. */
function prefixText(ip: Uint8Array, bits: number): string {
  const whole = ip.length * 8;
  const network = ip.map((byte, at) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - at * 8))) & 0xff);
  const address = ipaddr.fromByteArray([...network]).toString();
  return bits === whole ? address : `${address}/${bits}`;
}
