// Many WebSockets open at once, by an implementation that is not ours at both ends: what each says comes back
// to it and to no other, closes arrive as they were meant, and all that was taken is given back.
// `npm run soak` makes them five thousand.
import { deepStrictEqual, ok as holds, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { PIPES_KEPT_MAX } from "../../src/base/limits.ts";
import { Sluice } from "../support/executable.ts";
import { type Closing, echo, type Said, Talk, WebSocketOrigin } from "../support/web_sockets.ts";
import { within } from "../support/waiting.ts";

/** `npm run soak` asks for many more. Each takes two fds here and two of Sluice. */
const COUNT = Number(process.env.SLUICE_SOAK_WEB_SOCKETS ?? 500);
/** Opened, or busy with large messages, at once. */
const BATCH = 100;
const REACTORS = 2;
const DEADLINE_MS = 60_000 + 50 * COUNT;

/** Around the places where a frame's length takes another form (RFC 6455 section 5.2). */
const SMALL_BYTES = [0, 1, 125, 126];
const LARGE_BYTES = [65_535, 65_536];
/** More than a reactor moves in one piece; every HUGE_EVERY-th says as much. */
const HUGE_BYTES = (1 << 20) + 1;
const HUGE_EVERY = 50;
/** Among them empty ones; the last frame of a message may be empty, too. */
const FRAMES_BYTES = [125, 0, 126, 1, 20_000, 0];

/** undefined: a close without a code, which arrives as 1005 (RFC 6455 section 7.1.5). */
const CLOSES: readonly (readonly [code: number | undefined, reason: string])[] = [
  [1_000, ""],
  [1_000, "bye"],
  [1_001, "going away"],
  [3_000, "registered"],
  [3_999, "x".repeat(123)],
  [4_000, "private"],
  [4_999, "gr\u00fc\u00dfe \u{1f600}"],
  [undefined, ""],
];

/** One of the many: the client's end and the server's. */
interface Pair {
  readonly number: number;
  readonly client: Talk;
  readonly server: Talk;
}

/** What only this one says, and only this time. */
function textOf({ number }: Pair, turn: number, bytes: number): string {
  return `${number}/${turn};`.repeat(bytes).slice(0, bytes);
}

/** Runs `step` for all, at most `most` at once. */
async function all<T>(items: readonly T[], most: number, step: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items].reverse();
  await Promise.all(Array.from({ length: most }, async () => {
    for (let item = waiting.pop(); item !== undefined; item = waiting.pop()) await step(item);
  }));
}

async function openAll(sluice: Sluice, origin: WebSocketOrigin): Promise<Pair[]> {
  const clients: Talk[] = [];
  const numbers = Array.from({ length: COUNT }, (_, number) => number);
  await all(numbers, BATCH, async (number) => {
    clients[number] = await Talk.connect(sluice.port(), `/${number}`);
  });
  const servers = new Map(origin.targets.map((target, at) => [target, origin.talks[at]]));
  strictEqual(servers.size, COUNT);
  return clients.map((client, number) => ({ number, client, server: servers.get(`/${number}`)! }));
}

/** Says it and hears it again: a text, or the same bytes as a binary message. */
async function assertEcho({ client, number }: Pair, said: Said): Promise<void> {
  await client.send(said);
  assertSame(await client.next(), said, number);
}

/** Without the values: two megabytes of difference would drown the report. */
function assertSame(heard: Said, said: Said, number: number): void {
  const same = typeof said === "string" ? heard === said : said.equals(heard as Buffer);
  holds(same && typeof heard === typeof said, `WebSocket ${number}: ${show(heard)} instead of ${show(said)}`);
}

function show(said: Said): string {
  return `${said.length} of ${typeof said} ${JSON.stringify(said.toString().slice(0, 40))}`;
}

async function saySmall(pair: Pair): Promise<void> {
  for (const [turn, bytes] of SMALL_BYTES.entries()) {
    await assertEcho(pair, textOf(pair, turn, bytes));
    await assertEcho(pair, Buffer.from(textOf(pair, -turn, bytes)));
  }
}

async function sayLarge(pair: Pair): Promise<void> {
  const { number, client } = pair;
  const sizes = number % HUGE_EVERY === 0 ? [...LARGE_BYTES, HUGE_BYTES] : LARGE_BYTES;
  for (const bytes of sizes) {
    await assertEcho(pair, textOf(pair, bytes, bytes));
    await assertEcho(pair, Buffer.from(textOf(pair, -bytes, bytes)));
  }
  const frames = FRAMES_BYTES.map((bytes, turn) => textOf(pair, turn, bytes));
  client.sendFrames(frames);
  assertSame(await client.next(), frames.join(""), number);
}

/** Pings from both sides, empty and as long as they may be (RFC 6455 section 5.5). */
async function ping({ number, client, server }: Pair): Promise<void> {
  for (const end of [client, server]) {
    for (const data of ["", `${number};`.repeat(125).slice(0, 125)]) strictEqual(await end.ping(data), data);
  }
}

/** Who closes, with what. */
async function close({ number, client, server }: Pair): Promise<void> {
  const [code, reason] = CLOSES[(number >> 1) % CLOSES.length];
  const first = number % 2 === 0 ? client : server;
  first.socket.close(code, reason);
  const want: Closing = { code: code ?? 1_005, reason };
  const ends = Promise.all([client.closed, server.closed]);
  deepStrictEqual(await within(`WebSocket ${number} to close`, ends, DEADLINE_MS), [want, want]);
}

describe("many WebSockets", () => {
  it(`${COUNT} at once: open, talk, close, and nothing is left`, { timeout: DEADLINE_MS }, async () => {
    using origin = await WebSocketOrigin.listen(echo);
    const flags = ["--reactors", String(REACTORS), "--health", "off", "--access-log", "off"];
    const words = [...flags, `http://127.0.0.1:0=${origin.address}`];
    using sluice = await Sluice.start(words, { deadlineMs: DEADLINE_MS });
    const pairs = await openAll(sluice, origin);
    const { totals } = await sluice.until(
      "all to be open",
      ({ reactors }) => reactors.reduce((sum, { slots }) => sum + slots, 0) === 2 * COUNT,
    );
    deepStrictEqual([totals.connections.now, totals.requests, totals.connects], [COUNT, COUNT, COUNT]);

    await all(pairs, COUNT, saySmall);
    await all(pairs, COUNT, ping);
    await all(pairs, BATCH, sayLarge);
    // The head of each stays for its record.
    await sluice.until(
      "silent ones to hold nothing of what carried their messages",
      ({ reactors }) =>
        reactors.every(({ pipes }) => pipes <= PIPES_KEPT_MAX) &&
        reactors.reduce((sum, { blocks }) => sum + blocks, 0) === COUNT,
    );
    await all(pairs, COUNT, saySmall);
    strictEqual((await sluice.status()).totals.connections.now, COUNT);

    await all(pairs, COUNT, close);
    const over = await sluice.until("all to have ended", ({ totals }) => totals.connections.now === 0);
    deepStrictEqual(over.totals.ended, { finished: COUNT });
    origin[Symbol.dispose]();
    await sluice.finish();
  });
});
