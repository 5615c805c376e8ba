// Fuzzes the HTTP/1 codec: every input against its own promises, a share of what it accepts against other
// parsers.  npm run fuzz -- [--inputs N] [--seed S] [--peer-share P] [--first N]
// A failure names its seed and number: `--seed S --first N --inputs 1` makes it again.
import { parseArgs } from "node:util";
import { Form, HeadFlag } from "../../src/proto/head.ts";
import { bodyBytes, Checked, checkMade, forward, forwardBytes, head } from "./http1_check.ts";
import { Kind, made, madeBytes, make } from "./http1_generator.ts";
import { isKnown, type Peer, startPeers } from "./http1_peers.ts";

const BATCH_COUNT = 500;
const REPORT_EVERY = 1_000_000;

interface Sent {
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly kind: Kind;
  /** What a peer must say. */
  readonly want: string;
  readonly fields: number;
}

const { values } = parseArgs({
  options: {
    inputs: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
    first: { type: "string", default: "0" },
    "peer-share": { type: "string", default: "1" },
  },
});
const inputs = Number(values.inputs), seed = Number(values.seed), first = Number(values.first);
const share = Number(values["peer-share"]);

const say = (text: string) => console.log(text);
const show = (bytes: Uint8Array) => JSON.stringify(Buffer.from(bytes).toString("latin1"));
const started = performance.now();
const counts = [0, 0, 0]; // by Checked
let judged = 0, known = 0, due = 0, failed = 0;
let batch: Sent[] = [];

const peers = share > 0 ? startPeers(say) : [];
try {
  for (let number = first; number < first + inputs && failed < 10; number++) {
    const kind = make(seed, number);
    let checked: Checked;
    try {
      checked = checkMade(kind);
    } catch (error) {
      fail(number, String(error), made.subarray(0, madeBytes));
      continue;
    }
    counts[checked]++;
    if (checked === Checked.Whole && peers.length > 0 && (due += share) >= 1) {
      due -= 1;
      batch.push(sent(number, kind));
      if (batch.length === BATCH_COUNT) await judgeBatch();
    }
    if ((number + 1 - first) % REPORT_EVERY === 0) report(number + 1 - first);
  }
  await judgeBatch();
  report(inputs);
} finally {
  for (const peer of peers) peer.end();
}
process.exit(failed > 0 ? 1 : 0);

function text(from: number, end: number): string {
  return Buffer.from(forward.subarray(from, end)).toString("latin1");
}

function sent(number: number, kind: Kind): Sent {
  const bytes = forward.slice(0, forwardBytes);
  if (kind !== Kind.Request) {
    return { number, bytes, kind, want: `ok ${head.status} - - ${bodyBytes}`, fields: head.fieldCount };
  }
  const host = text(head.authority, head.authorityEnd).toLowerCase() || "-";
  const want = `ok ${text(0, head.methodEnd)} ${text(head.target, head.targetEnd)} ${host} ${bodyBytes}`;
  return { number, bytes, kind, want: hostless(want), fields: head.fieldCount };
}

/** A target may name the host where Host is missing (HTTP/1.0) or has no port (CONNECT): Node reports the
 * field, so there its word on the host is left out. */
function hostless(want: string): string {
  const named = head.form === Form.Authority || (head.flags & HeadFlag.Old) !== 0;
  return named ? want.replace(/ \S+ (\d+)$/, " ? $1") : want;
}

async function judgeBatch(): Promise<void> {
  if (batch.length === 0) return;
  const bytes = new Uint8Array(batch.reduce((sum, { bytes }) => sum + 5 + bytes.length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const one of batch) {
    view.setUint8(at, one.kind);
    view.setUint32(at + 1, one.bytes.length, true);
    bytes.set(one.bytes, at + 5);
    at += 5 + one.bytes.length;
  }
  const verdicts = await Promise.all(peers.map((peer) => peer.judge(bytes, batch.length)));
  peers.forEach((peer, index) => compare(peer, verdicts[index]));
  judged += batch.length;
  batch = [];
}

function compare(peer: Peer, verdicts: readonly string[]): void {
  batch.forEach((one, index) => {
    const says = verdicts[index];
    if (isKnown(peer.name, says, Buffer.from(one.bytes).toString("latin1"))) {
      known++;
      return;
    }
    const want = peer.name === "node" ? `${one.want} ${one.fields}` : one.want;
    if (sameWords(want, says)) return;
    fail(one.number, `${peer.name} says "${says}", we say "${want}"`, one.bytes);
  });
}

/** "?" stands for any word, and the host (the fourth word) has no case. */
function sameWords(want: string, says: string): boolean {
  const ours = want.split(" "), theirs = says.split(" ");
  return ours.length === theirs.length &&
    ours.every((word, index) =>
      word === "?" || word === (index === 3 ? theirs[index].toLowerCase() : theirs[index])
    );
}

function fail(number: number, why: string, bytes: Uint8Array): void {
  failed++;
  say(`FAILED: --seed ${seed} --first ${number} --inputs 1: ${why}\n  ${show(bytes)}`);
}

function report(count: number): void {
  const seconds = (performance.now() - started) / 1000;
  say(
    `${count} inputs in ${seconds.toFixed(1)} s: ${counts[Checked.Whole]} whole, ${
      counts[Checked.Short]
    } short, ` +
      `${counts[Checked.Refused]} refused; ${judged} judged by ${
        peers.map(({ name }) => name).join(" and ") || "nobody"
      } ` +
      `(${known} known differences); ${failed} failed`,
  );
}
