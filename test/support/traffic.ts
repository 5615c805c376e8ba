// Clients that come and go for as long as a test wants, over TCP or HTTP, and what each of them met. Afterwards
// the access records are held against it: whoever was served is recorded so, whoever was not has a reason.
import { deepStrictEqual, ok } from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { AccessLine, Sluice } from "./executable.ts";
import { ok as answer } from "./http_origin.ts";
import { HttpPeer, statusOf } from "./http_peer.ts";
import { Peer, type Where } from "./peer.ts";
import { echo, type Serve } from "./servers.ts";
import { until } from "./waiting.ts";

export type Kind = "tcp" | "http";
export const KINDS: readonly Kind[] = ["tcp", "http"];

/** What a connection over TCP, or a request, came to: "served", "reset", or the status of an error. */
type Outcome = string;

/** Questions of a TCP connection before it ends. */
const QUESTIONS = 4;
/** Between two questions, or requests: many clients shall be there, not much work. */
const PAUSE_MS = 25;
export const GET = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/** Answers every request, a little later. */
export const web: Serve = async (peer) => {
  const connection = new HttpPeer(peer);
  for (;;) {
    await connection.readRequest();
    await sleep(5);
    await connection.send(answer("hello"));
  }
};

/** Servers that serve these clients. */
export const SERVES: Readonly<Record<Kind, Serve>> = { tcp: echo, http: web };

export class Traffic {
  readonly #kind: Kind;
  readonly #where: Where;
  readonly #listener: string;
  /** By the client's address, in their order; "": a reset came before the client knew its own address. */
  readonly #outcomes = new Map<string, Outcome[]>();
  readonly #clients: Promise<void>[];
  readonly #sluice: Sluice;
  #over = false;

  /** `clients` of them, one connection each at a time, until `stop`. */
  constructor(kind: Kind, sluice: Sluice, listener: string, where: Where, clients: number) {
    this.#kind = kind;
    this.#sluice = sluice;
    this.#where = where;
    this.#listener = listener;
    this.#clients = Array.from({ length: clients }, () => this.#client());
    for (const client of this.#clients) client.catch(() => {}); // `stop` tells
  }

  /** How often something came to this. */
  count(outcome: Outcome): number {
    return [...this.#outcomes.values()].flat().filter((other) => other === outcome).length;
  }

  /** Everything so far. */
  get total(): number {
    return [...this.#outcomes.values()].flat().length;
  }

  /**
   * Lets every client finish what it is at, and holds the records against what they met.
   *
   * @param why for what was not served, the reasons that may be recorded
   * @param others clients of the same listener that are the test's own
   * @returns the records of this listener
   */
  async stop(
    why: Readonly<Record<Outcome, readonly string[]>>,
    others: readonly string[] = [],
  ): Promise<AccessLine[]> {
    this.#over = true;
    await Promise.all(this.#clients);
    const strangers = new Set(others);
    const mine = () =>
      this.#sluice.records.filter(({ listener, client }) =>
        listener === this.#listener && !strangers.has(client ?? "")
      );
    await this.#sluice.until("all records", () => mine().length >= this.total);
    const records = mine();
    deepStrictEqual(records.length, this.total, "one record for each");
    const recorded = Map.groupBy(records, ({ client }) => client ?? "");
    for (const [address, outcomes] of this.#outcomes) {
      if (address === "") continue;
      const seen = recorded.get(address) ?? [];
      recorded.delete(address);
      deepStrictEqual(seen.map(({ reason }, at) => fits(why, outcomes[at], reason)), outcomes, address);
    }
    // What is left is of those who did not even learn their address.
    const left = [...recorded.values()].flat();
    deepStrictEqual(left.length, this.#outcomes.get("")?.length ?? 0);
    for (const { reason } of left) ok(why.reset?.includes(reason), reason);
    return records;
  }

  async #client(): Promise<void> {
    while (!this.#over) {
      try {
        if (this.#kind === "tcp") await this.#connection();
        else await this.#requests();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ECONNRESET") throw error;
        this.#note("", "reset");
      }
      await sleep(PAUSE_MS);
    }
  }

  async #connection(): Promise<void> {
    using client = await Peer.connect(this.#where);
    let served = true;
    for (let turn = 0; served && turn < QUESTIONS; turn++) {
      served = await client.ask(`${turn}?`).then((answer) => answer === `${turn}?`, () => false);
      await sleep(PAUSE_MS);
    }
    client.end();
    const ending = await client.ending();
    this.#note(client.address, served && ending === "fin" ? "served" : ending);
  }

  /** One after the other, until the connection ends or the test does. */
  async #requests(): Promise<void> {
    using client = await HttpPeer.connect(this.#where);
    while (!this.#over && client.peer.left === undefined) {
      const status = await client.ask(GET).then(({ head }) => statusOf(head), () => undefined);
      if (status === undefined) {
        const ending = await client.ending();
        this.#note(client.peer.address, ending);
        return;
      }
      this.#note(client.peer.address, status === 200 ? "served" : String(status));
      await sleep(PAUSE_MS);
    }
    client.end();
  }

  #note(address: string, outcome: Outcome): void {
    const known = this.#outcomes.get(address);
    if (known === undefined) this.#outcomes.set(address, [outcome]);
    else known.push(outcome);
  }
}

/** The outcome, if this is a reason for it; else what does not fit. */
function fits(why: Readonly<Record<Outcome, readonly string[]>>, outcome: Outcome, reason: string): Outcome {
  const reasons = outcome === "served" ? ["finished"] : why[outcome] ?? [];
  return reasons.includes(reason) ? outcome : `${outcome}, recorded as ${reason}`;
}

/** One connection, or request: "served", "reset" or the status of an error. */
export async function tryOnce(kind: Kind, where: Where): Promise<Outcome> {
  if (kind === "http") {
    using client = await HttpPeer.connect(where);
    const status = statusOf((await client.ask(GET)).head);
    return status === 200 ? "served" : String(status);
  }
  try {
    using client = await Peer.connect(where);
    const answer = await client.ask("hello").catch(() => "");
    client.end();
    return await client.ending() === "fin" && answer === "hello" ? "served" : "reset";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ECONNRESET") return "reset";
    throw error;
  }
}

/** The gauges of /metrics that must be zero when traffic is over, and the counters of what must never be. */
const ZERO =
  /^sluice_(listener_connections|server_connections|reactor_(slots|blocks|queued|idle_servers)|bugs_total|reactor_deaths_total|log_worker_deaths_total|records_dropped_total|(access_)?log_lines_dropped_total)(\{|$)/;

/** Says what is not zero and should be, once what is on its way out has gone. */
export async function assertGaugesZero(sluice: Sluice): Promise<void> {
  let left: [string, number][] = [];
  await until("all gauges to be zero", async () => {
    left = [...await sluice.metrics()].filter(([name, value]) => ZERO.test(name) && value !== 0);
    return left.length === 0;
  }).catch((error) => {
    deepStrictEqual(left, []);
    throw error;
  });
}
