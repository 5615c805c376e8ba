// Places at servers, and the time that a request may take in all: who waits, for how long, who is next, and
// what it is told in the end.
import { deepStrictEqual, ok as holds, strictEqual } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { QUEUE_MAX } from "../../src/base/limits.ts";
import { BlackHole } from "../support/black_hole.ts";
import { command, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { type AnswerTo, HttpOrigin, ok } from "../support/http_origin.ts";
import { HttpPeer, statusOf, valuesOf } from "../support/http_peer.ts";
import type { RequestLine } from "../support/http_proxy.ts";
import { freePort } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/** Deadlines are late by at most two ticks of 100 ms, and this machine by more. */
const LATE_MS = 2_000;

interface Options {
  readonly reactors?: number;
  readonly timeouts?: Readonly<Record<string, string>>;
  readonly upstream?: object;
}

/** A Sluice in front of these servers. */
async function withServers(
  servers: readonly (string | object)[],
  { reactors = 1, timeouts = {}, upstream = {} }: Options,
  test: (sluice: Sluice) => Promise<void>,
): Promise<void> {
  using folder = new Folder();
  const config = {
    reactors,
    defaults: { timeouts },
    listeners: { web: { bind: "http://127.0.0.1:0", to: "app" } },
    upstreams: { app: { servers, health: "off", ...upstream } },
  };
  writeFileSync(folder.at("sluice.yaml"), JSON.stringify(config));
  using sluice = await Sluice.start([], {
    command: [...command("executable"), "run", "-c", folder.at("sluice.yaml")],
  });
  await test(sluice);
  await sluice.finish();
}

/** A server that answers when it is told to, and knows how many requests it has at once. */
class Gate {
  most = 0;
  readonly #waiting: (() => void)[] = [];
  origin!: HttpOrigin;

  static async open(): Promise<Gate> {
    const gate = new Gate();
    gate.origin = await HttpOrigin.listen(() => gate.#answer());
    return gate;
  }

  get now(): number {
    return this.#waiting.length;
  }

  #answer(): Promise<string> {
    const answer = new Promise<string>((resolve) => this.#waiting.push(() => resolve(ok("through"))));
    this.most = Math.max(this.most, this.now);
    return answer;
  }

  /** Answers the one that waits longest. */
  pass(): void {
    this.#waiting.shift()!();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.origin[Symbol.asyncDispose]();
  }
}

async function clientsOf(sluice: Sluice, count: number): Promise<HttpPeer[]> {
  return await Promise.all(Array.from({ length: count }, () => HttpPeer.connect(sluice.port())));
}

describe("a server with max-connections", () => {
  for (const reactors of [1, 2, 8]) {
    it(`never has more, and all are served: ${reactors} reactors`, async () => {
      await using gate = await Gate.open();
      const servers = [{ address: gate.origin.address, "max-connections": 3 }];
      await withServers(servers, { reactors, timeouts: { queue: "30s" } }, async (sluice) => {
        const clients = await clientsOf(sluice, 40);
        const answers = clients.map((client) => client.ask(GET));
        const queued = async () =>
          (await sluice.status()).reactors.reduce((sum, { queued }) => sum + queued, 0);
        await until("the others to wait", async () => gate.now === 3 && await queued() === 37);
        for (let left = clients.length; left > 0; left--) {
          await until("the places to be taken", () => gate.now >= Math.min(3, left));
          gate.pass();
        }
        for (const answer of answers) strictEqual((await answer).body.toString(), "through");
        strictEqual(gate.most, 3);
        const records = await sluice.ended(40) as RequestLine[];
        strictEqual(records.filter(({ queue_ms }) => queue_ms === null).length, 3);
        for (const client of clients) client[Symbol.dispose]();
        await gate[Symbol.asyncDispose]();
      });
    });
  }

  it("never has more where it breaks the connections that it kept", async () => {
    let now = 0, most = 0;
    const breaks: AnswerTo = async (_, connection) => {
      most = Math.max(most, ++now);
      const isFirst = !known.has(connection);
      known.add(connection);
      await new Promise((resolve) => setTimeout(resolve, 10)); // others come meanwhile
      now--;
      if (!isFirst) connection.reset();
      return isFirst ? ok("first") : undefined;
    };
    const known = new Set<HttpPeer>();
    const origin = await HttpOrigin.listen(breaks);
    const servers = [{ address: origin.address, "max-connections": 2 }];
    await withServers(servers, { timeouts: { queue: "30s" } }, async (sluice) => {
      const clients = await clientsOf(sluice, 20);
      await Promise.all(clients.map(async (client) => {
        for (let round = 0; round < 5; round++) {
          strictEqual((await client.ask(GET)).body.toString(), "first");
        }
      }));
      strictEqual(most, 2);
      for (const client of clients) client[Symbol.dispose]();
      await origin[Symbol.asyncDispose]();
    });
  });

  it("a place that a failed connect leaves is for who waits at another reactor", async () => {
    using hole = await BlackHole.open();
    const servers = [{ address: hole.address, "max-connections": 1 }];
    const timeouts = { queue: "30s", connect: "700ms" };
    await withServers(servers, { reactors: 2, timeouts }, async (sluice) => {
      const clients = await clientsOf(sluice, 2);
      const answers = await Promise.all(clients.map((client) => client.ask(GET)));
      deepStrictEqual(answers.map(({ head }) => statusOf(head)), [504, 504], "both were tried");
      const [first, second] = await sluice.ended(2) as RequestLine[];
      holds(second.duration_ms! < first.duration_ms! + 1_000 + LATE_MS, "soon after the first");
      for (const client of clients) client[Symbol.dispose]();
    });
  });

  it("is down: a place that gets free there is given to nobody", async () => {
    await using well = await Gate.open();
    const sick = await Gate.open();
    const servers = [well, sick].map(({ origin }) => ({ address: origin.address, "max-connections": 1 }));
    const health = { interval: "200ms", timeout: "200ms", fall: 1 };
    await withServers(servers, { timeouts: { queue: "30s" }, upstream: { health } }, async (sluice) => {
      const clients = await clientsOf(sluice, 5);
      const answers = clients.map((client) => client.ask(GET));
      await until("both to be full", () => well.now === 1 && sick.now === 1);
      sick.origin.stop(); // what it has goes on
      await until(
        "it to be down",
        async () => (await sluice.status()).upstreams[0].servers.some(({ health }) => health === "down"),
      );
      sick.pass();
      for (let left = 4; left > 0; left--) {
        await until("the next one to come", () => well.now === 1);
        well.pass();
      }
      await Promise.all(answers);
      strictEqual(sick.origin.requests.length, 1);
      strictEqual(well.origin.requests.length, 4);
      for (const client of clients) client[Symbol.dispose]();
      await Promise.all([well, sick].map((gate) => gate.origin.kill()));
    });
  });

  it("is down, with everybody who waits for it: they are told soon, newcomers at once", async () => {
    const origin = await HttpOrigin.listen(() => new Promise<string>(() => {}));
    const servers = [{ address: origin.address, "max-connections": 1 }];
    const health = { interval: "200ms", timeout: "200ms", fall: 1 };
    await withServers(servers, { timeouts: { queue: "30s" }, upstream: { health } }, async (sluice) => {
      const [holder, ...waiting] = await clientsOf(sluice, 4);
      const held = holder.send(GET);
      await until("the place to be taken", () => origin.requests.length === 1);
      const answers = waiting.map((client) => client.ask(GET));
      origin.stop();
      for (const { head } of await Promise.all(answers)) {
        strictEqual(valuesOf(head, "proxy-status")[0].split(";")[1], " error=destination_unavailable");
      }
      await held;
      const [newcomer] = await clientsOf(sluice, 1);
      strictEqual(statusOf((await newcomer.ask(GET)).head), 503);
      const records = await sluice.ended(4) as RequestLine[];
      deepStrictEqual(records.map(({ reason }) => reason), Array(4).fill("no_server"));
      holds(
        records.every(({ duration_ms }) => duration_ms! < 15_000),
        "nobody waits for the queue's timeout",
      );
      for (const client of [holder, ...waiting, newcomer]) client[Symbol.dispose]();
      await origin.kill();
    });
  });

  it("the first to come is the first to be served", async () => {
    await using gate = await Gate.open();
    const servers = [{ address: gate.origin.address, "max-connections": 1 }];
    await withServers(servers, {}, async (sluice) => {
      const order: number[] = [];
      const clients = await clientsOf(sluice, 6);
      const answers: Promise<unknown>[] = [];
      for (const [number, client] of clients.entries()) {
        answers.push(client.ask(GET).then(() => order.push(number)));
        const queued = number; // the first has the place
        await until("it to stand there", async () => {
          const { reactors } = await sluice.status();
          return gate.now === 1 && reactors[0].queued === queued;
        });
      }
      for (const _ of clients) {
        await until("the place to be taken", () => gate.now === 1);
        gate.pass();
      }
      await Promise.all(answers);
      deepStrictEqual(order, [0, 1, 2, 3, 4, 5]);
      for (const client of clients) client[Symbol.dispose]();
      await gate[Symbol.asyncDispose]();
    });
  });

  it("places that get free together serve as many", async () => {
    await using gate = await Gate.open();
    const servers = [{ address: gate.origin.address, "max-connections": 3 }];
    await withServers(servers, { timeouts: { queue: "30s" } }, async (sluice) => {
      const clients = await clientsOf(sluice, 9);
      const answers = clients.map((client) => client.ask(GET));
      for (let round = 0; round < 3; round++) {
        await until("all places to be taken", () => gate.now === 3);
        for (let place = 0; place < 3; place++) gate.pass();
      }
      for (const answer of answers) strictEqual(statusOf((await answer).head), 200);
      for (const client of clients) client[Symbol.dispose]();
      await gate[Symbol.asyncDispose]();
    });
  });

  it("and dies: whoever waits for it is told soon", async () => {
    const gone = Promise.withResolvers<void>();
    const origin = await HttpOrigin.listen(async () => {
      await gone.promise;
      return ok("last", ["Connection: close"]);
    });
    const servers = [{ address: origin.address, "max-connections": 1 }];
    await withServers(servers, { timeouts: { queue: "30s" } }, async (sluice) => {
      const clients = await clientsOf(sluice, 6);
      const answers = clients.map((client) => client.ask(GET));
      await until("five to wait", async () => (await sluice.status()).reactors[0].queued === 5);
      origin.stop();
      gone.resolve();
      const statuses = (await Promise.all(answers)).map(({ head }) => statusOf(head));
      deepStrictEqual(statuses.sort(), [200, 502, 502, 502, 502, 502]);
      const records = await sluice.ended(6);
      holds(
        records.every(({ duration_ms }) => duration_ms! < 10_000),
        "nobody waits for the queue's timeout",
      );
      for (const client of clients) client[Symbol.dispose]();
      await origin[Symbol.asyncDispose]();
    });
  });

  it("who waits for longer than the queue's timeout is told: 503", async () => {
    await using gate = await Gate.open();
    const servers = [{ address: gate.origin.address, "max-connections": 1 }];
    await withServers(servers, { timeouts: { queue: "300ms" } }, async (sluice) => {
      const [first, second] = await clientsOf(sluice, 2);
      const answer = first.ask(GET);
      await until("the place to be taken", () => gate.now === 1);
      const { head } = await second.ask(GET);
      strictEqual(statusOf(head), 503);
      strictEqual(valuesOf(head, "proxy-status")[0].split(";")[1], " error=connection_limit_reached");
      const [record] = await sluice.ended(1) as RequestLine[];
      strictEqual(record.reason, "queue_timeout");
      holds(record.queue_ms! >= 300 && record.queue_ms! < 300 + LATE_MS, `${record.queue_ms} ms`);
      // The connection goes on, and so does its place in the world.
      const again = second.ask(GET);
      gate.pass();
      strictEqual(statusOf((await answer).head), 200);
      await until("the place to be taken", () => gate.now === 1);
      gate.pass();
      strictEqual(statusOf((await again).head), 200);
      for (const client of [first, second]) client[Symbol.dispose]();
      await gate[Symbol.asyncDispose]();
    });
  });

  it("a server that refuses is asked again now and then, not all the time", async () => {
    await using gate = await Gate.open();
    const closed = `127.0.0.1:${await freePort()}`;
    const servers = [{ address: gate.origin.address, "max-connections": 1 }, closed];
    await withServers(servers, { timeouts: { queue: "2500ms" } }, async (sluice) => {
      const clients = await clientsOf(sluice, 21);
      const statuses: number[] = [];
      for (const client of clients) {
        client.ask(GET).then(({ head }) => statuses.push(statusOf(head)), () => {}); // one of them has the place
      }
      await until("twenty to be told", () => statuses.length === 20);
      deepStrictEqual(statuses, Array(20).fill(503));
      const { upstreams } = await sluice.status();
      const refused = upstreams[0].servers[1].connections.failed;
      holds(refused >= 20 && refused <= 20 * 10, `asked ${refused} times for 20 that waited 2.5 s`);
      for (const client of clients) client.reset();
      await gate[Symbol.asyncDispose]();
    });
  });

  it("a newcomer passes nobody who waits, even where it comes with the event that frees the place", async () => {
    await using gate = await Gate.open();
    const servers = [{ address: gate.origin.address, "max-connections": 1 }];
    await withServers(servers, { timeouts: { queue: "30s" } }, async (sluice) => {
      const [first, waits, ...late] = await clientsOf(sluice, 6);
      const answer = first.ask(GET);
      await until("the place to be taken", () => gate.now === 1);
      const waited = waits.ask(GET);
      await until("it to stand there", async () => (await sluice.status()).reactors[0].queued === 1);
      process.kill(sluice.pid, "SIGSTOP"); // what comes now comes in one batch
      gate.pass();
      for (const client of late) await client.send(GET);
      process.kill(sluice.pid, "SIGCONT");
      await answer;
      await until("the next one's turn", () => gate.now === 1);
      gate.pass();
      strictEqual(statusOf((await waited).head), 200);
      for (const client of late) {
        await until("the next one's turn", () => gate.now === 1);
        gate.pass();
        strictEqual(statusOf((await client.readAnswer()).head), 200);
      }
      for (const client of [first, waits, ...late]) client[Symbol.dispose]();
      await gate[Symbol.asyncDispose]();
    });
  });

  it("two reactors share its places: neither starves", async () => {
    await using origin = await HttpOrigin.listen(async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      return ok();
    });
    const servers = [{ address: origin.address, "max-connections": 1 }];
    await withServers(servers, { reactors: 2, timeouts: { queue: "30s" } }, async (sluice) => {
      const clients = await clientsOf(sluice, 8), counts = clients.map(() => 0);
      let over = false;
      const loops = clients.map(async (client, number) => {
        while (!over) {
          strictEqual(statusOf((await client.ask(GET)).head), 200);
          counts[number]++;
          over ||= counts.reduce((sum, count) => sum + count, 0) >= 240;
        }
      });
      await Promise.all(loops);
      holds(Math.min(...counts) >= 10, `answers for each client: ${counts.join()}`);
      for (const client of clients) client[Symbol.dispose]();
      await origin.kill();
    });
  });

  it("who leaves the queue is not served, and stands in nobody's way", async () => {
    await using gate = await Gate.open();
    const servers = [{ address: gate.origin.address, "max-connections": 1 }];
    await withServers(servers, {}, async (sluice) => {
      const [first, gone, reset, last] = await clientsOf(sluice, 4);
      const answer = first.ask(GET);
      await until("the place to be taken", () => gate.now === 1);
      for (const client of [gone, reset, last]) await client.send(GET);
      await until("all to stand there", async () => (await sluice.status()).reactors[0].queued === 3);
      gone.end();
      reset.reset();
      await until("two to be gone", async () => (await sluice.status()).reactors[0].queued === 1);
      gate.pass();
      await answer;
      await until("the last one's turn", () => gate.now === 1);
      gate.pass();
      strictEqual(statusOf((await last.readAnswer()).head), 200);
      strictEqual(gate.origin.requests.length, 2);
      const reasons = (await sluice.ended(4)).map(({ reason }) => reason).sort();
      deepStrictEqual(reasons, ["client_gone", "client_reset", "finished", "finished"]);
      for (const client of [first, gone, last]) client[Symbol.dispose]();
      await gate[Symbol.asyncDispose]();
    });
  });

  it("a full queue is told at once: 503", async () => {
    await using gate = await Gate.open();
    const servers = [{ address: gate.origin.address, "max-connections": 1 }];
    await withServers(servers, { timeouts: { queue: "60s" } }, async (sluice) => {
      const clients = await clientsOf(sluice, 1 + QUEUE_MAX);
      for (const client of clients) await client.send(GET);
      await until("all to stand there", async () => (await sluice.status()).reactors[0].queued === QUEUE_MAX);
      using late = await HttpPeer.connect(sluice.port());
      strictEqual(statusOf((await late.ask(GET)).head), 503);
      const [{ reason }] = await sluice.ended(1);
      strictEqual(reason, "queue_full");
      for (const client of clients) client.reset();
      await gate[Symbol.asyncDispose]();
    });
  });

  it("is waited for where the other server refuses", async () => {
    await using gate = await Gate.open();
    const closed = `127.0.0.1:${await freePort()}`;
    const servers = [{ address: gate.origin.address, "max-connections": 1 }, closed];
    await withServers(servers, { timeouts: { queue: "30s" } }, async (sluice) => {
      const clients = await clientsOf(sluice, 8);
      const answers = clients.map((client) => client.ask(GET));
      for (const _ of clients) {
        await until("the place to be taken", () => gate.now === 1);
        gate.pass();
      }
      for (const answer of answers) strictEqual(statusOf((await answer).head), 200);
      strictEqual(gate.most, 1);
      for (const client of clients) client[Symbol.dispose]();
      await gate[Symbol.asyncDispose]();
    });
  });

  it("is not waited for without end where the other server refuses", async () => {
    await using gate = await Gate.open();
    const closed = `127.0.0.1:${await freePort()}`;
    const servers = [{ address: gate.origin.address, "max-connections": 1 }, closed];
    await withServers(servers, { timeouts: { queue: "500ms" } }, async (sluice) => {
      const [first, second] = await clientsOf(sluice, 2);
      const answer = first.ask(GET);
      await until("the place to be taken", () => gate.now === 1);
      strictEqual(statusOf((await second.ask(GET)).head), 503);
      const [record] = await sluice.ended(1) as RequestLine[];
      strictEqual(record.reason, "queue_timeout");
      holds(record.duration_ms! >= 500 && record.duration_ms! < 500 + LATE_MS, `${record.duration_ms} ms`);
      gate.pass();
      await answer;
      for (const client of [first, second]) client[Symbol.dispose]();
      await gate[Symbol.asyncDispose]();
    });
  });
});

describe("the whole exchange's limit", () => {
  const LIMIT = { exchange: "400ms" };

  /** One request, and what its record says of it. */
  async function assertEnds(sluice: Sluice, status: number): Promise<void> {
    using client = await HttpPeer.connect(sluice.port());
    const { head } = await client.ask(GET);
    strictEqual(statusOf(head), status);
    strictEqual(valuesOf(head, "proxy-status")[0].split(";")[1], " error=http_response_timeout");
    const [record] = await sluice.ended(1) as RequestLine[];
    strictEqual(record.reason, "exchange_timeout");
    holds(record.duration_ms! >= 400 && record.duration_ms! < 400 + LATE_MS, `${record.duration_ms} ms`);
  }

  it("holds in the queue", async () => {
    await using gate = await Gate.open();
    const servers = [{ address: gate.origin.address, "max-connections": 1 }];
    using folder = new Folder();
    const config = {
      reactors: 1,
      listeners: {
        slow: { bind: "http://127.0.0.1:0", to: "app" },
        web: { bind: "http://127.0.0.1:0", to: "app", timeouts: LIMIT },
      },
      upstreams: { app: { servers, health: "off", timeouts: { queue: "30s" } } },
    };
    writeFileSync(folder.at("sluice.yaml"), JSON.stringify(config));
    const run = [...command("executable"), "run", "-c", folder.at("sluice.yaml")];
    using sluice = await Sluice.start([], { command: run });
    using first = await HttpPeer.connect(sluice.port(0));
    const answer = first.ask(GET);
    await until("the place to be taken", () => gate.now === 1);
    using second = await HttpPeer.connect(sluice.port(1));
    strictEqual(statusOf((await second.ask(GET)).head), 504);
    strictEqual((await sluice.ended(1))[0].reason, "exchange_timeout");
    gate.pass();
    strictEqual(statusOf((await answer).head), 200);
  });

  it("holds while a server is being connected", async () => {
    using hole = await BlackHole.open();
    await withServers(
      [hole.address],
      { timeouts: { ...LIMIT, connect: "20s" } },
      (sluice) => assertEnds(sluice, 504),
    );
  });

  it("holds while the client does not take what Sluice says", async () => {
    const respond = { body: "x".repeat(16_000) };
    const listener = { bind: "http://127.0.0.1:0", timeouts: LIMIT, routes: [{ respond }] };
    using folder = new Folder();
    writeFileSync(folder.at("sluice.yaml"), JSON.stringify({ reactors: 1, listeners: { web: listener } }));
    using sluice = await Sluice.start([], {
      command: [...command("executable"), "run", "-c", folder.at("sluice.yaml")],
    });
    using client = await HttpPeer.connect(sluice.port());
    // As many as it takes until nothing more goes out: the rest waits for its turn, unread.
    await client.send(GET.repeat(2_000));
    await until(
      "an answer to be stuck",
      () => sluice.records.some((one) => one.reason === "exchange_timeout"),
    );
    client[Symbol.dispose]();
    await sluice.finish();
  });

  it("holds while the answer is awaited", async () => {
    await using gate = await Gate.open();
    await withServers([gate.origin.address], { timeouts: LIMIT }, (sluice) => assertEnds(sluice, 504));
  });

  it("holds within an answer, however lively: the client sees that it is incomplete", async () => {
    const drips: AnswerTo = async (_, connection) => {
      await connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      const drip = () => connection.send("1\r\n.\r\n").catch(() => clearInterval(timer));
      const timer = setInterval(drip, 50);
      await connection.ending();
      clearInterval(timer);
    };
    await using origin = await HttpOrigin.listen(drips);
    await withServers([origin.address], { timeouts: LIMIT }, async (sluice) => {
      using client = await HttpPeer.connect(sluice.port());
      await client.send(GET);
      const { text, ending } = await client.readToEnd();
      strictEqual(ending, "reset");
      holds(!text.includes("0\r\n\r\n"));
      const [record] = await sluice.ended(1) as RequestLine[];
      deepStrictEqual([record.reason, record.status], ["exchange_timeout", 200]);
    });
  });
});

describe("interim answers", () => {
  it("give a server time: it is at work", async () => {
    const works: AnswerTo = async (_, connection) => {
      for (let step = 0; step < 6; step++) {
        await connection.send("HTTP/1.1 102 Processing\r\n\r\n");
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      return ok("done");
    };
    await using origin = await HttpOrigin.listen(works);
    await withServers([origin.address], { timeouts: { answer: "900ms" } }, async (sluice) => {
      using client = await HttpPeer.connect(sluice.port());
      await client.send(GET);
      for (let step = 0; step < 6; step++) strictEqual(statusOf((await client.readAnswer()).head), 102);
      strictEqual((await client.readAnswer()).body.toString(), "done");
      await origin.kill();
    });
  });
});

describe("reuse of servers' connections is counted", () => {
  for (const reactors of [1, 2, 8]) {
    it(`${reactors} reactors: each request took a kept connection or opened one`, async () => {
      await using origin = await HttpOrigin.listen(() => ok());
      await withServers([origin.address], { reactors }, async (sluice) => {
        const clients = await clientsOf(sluice, 16);
        for (let turn = 0; turn < 20; turn++) await Promise.all(clients.map((client) => client.ask(GET)));
        await sluice.ended(320);
        const metrics = await sluice.metrics();
        const reused = metrics.get("sluice_reused_total")!;
        strictEqual(reused, 320 - origin.connections);
        holds(origin.connections <= 16 * 2, `${origin.connections} connections for 16 clients`);
        for (const client of clients) client[Symbol.dispose]();
        await origin.kill();
      });
    });
  }
});
