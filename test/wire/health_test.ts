// Health checks against real servers: what is sent, what passes, how many failures take a server out and how
// many successes bring it back, and what the log says of it.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { command, type Sluice, withSluice } from "../support/executable.ts";
import { Peer } from "../support/peer.ts";
import { echo, freePort, sayAndEnd, type Serve, Server, silent } from "../support/servers.ts";
import { BlackHole } from "../support/black_hole.ts";
import { Folder } from "../support/folder.ts";
import type { Status } from "../support/status.ts";
import { until } from "../support/waiting.ts";

const FAST = [
  "--reactors",
  "1",
  "--log-level",
  "debug",
  "--health-interval",
  "100ms",
  "--health-timeout",
  "100ms",
];

const serverOf = ({ upstreams }: Status, number = 0) => upstreams[0].servers[number];

async function untilHealth(sluice: Sluice, health: "up" | "down", number = 0): Promise<Status> {
  return await sluice.until(
    `server ${number} to be ${health}`,
    (status) => serverOf(status, number).health === health,
  );
}

/** What the log says of checks, in order; a failure like the one before is told only if it is the last straw. */
function told(sluice: Sluice): string[] {
  return sluice.log("health").flatMap(({ message }) =>
    /first failure|failure [0-9]+|is down|is up again|is up/.exec(message) ?? []
  );
}

describe("health checks", () => {
  it("a server counts as up until it is checked", async () => {
    using hole = await BlackHole.open();
    await using server = await Server.listen(echo);
    const words = [
      "--reactors",
      "1",
      "--connect-timeout",
      "100ms",
      `tcp://127.0.0.1:0=${hole.address},${server.address}`,
    ];
    await withSluice(words, async (sluice) => {
      const status = await sluice.status();
      strictEqual(serverOf(status).health, "unchecked");
      strictEqual((await sluice.get("/readyz")).status, 200);
      for (let turn = 0; turn < 2; turn++) {
        using client = await Peer.connect(sluice.port());
        strictEqual(await client.ask("hello"), "hello");
        client.end();
      }
      deepStrictEqual((await sluice.ended(2)).map(({ tried }) => tried).sort(), [1, 2]);
    });
  });

  it("a refused connect: out after exactly --health-fall, back after --health-rise, both told with the cause", async () => {
    const port = await freePort();
    const words = [
      ...FAST,
      "--health-fall",
      "3",
      "--health-rise",
      "2",
      `tcp://127.0.0.1:0=127.0.0.1:${port}`,
    ];
    await withSluice(words, async (sluice) => {
      const line = await sluice.line("health", / is down: /);
      const down = serverOf(await untilHealth(sluice, "down"));
      strictEqual(down.why?.reason, "connection_refused");
      strictEqual(down.why?.errno, "ECONNREFUSED");
      strictEqual(line.level, "warn");
      match(line.message, /is down: connection_refused \(ECONNREFUSED\), 3 checks in a row$/);
      strictEqual(line.reason, "connection_refused");
      await using server = await Server.listen(silent, port);
      await untilHealth(sluice, "up");
      const again = await sluice.line("health", / is up again: /);
      strictEqual(again.level, "info");
      match(again.message, /2 checks in a row passed, after [0-9.]+s down$/);
      ok(server.connections >= 2);
      strictEqual(
        (await sluice.metrics()).get(
          `sluice_server_up{upstream="tcp://127.0.0.1:0",server="127.0.0.1:${port}"}`,
        ),
        1,
      );
    });
  });

  for (const [fall, rise] of [[1, 1], [4, 3]]) {
    it(`checks are counted one by one: fall ${fall}, rise ${rise}`, async () => {
      // The server itself counts: it fails until told otherwise, and knows how often it was asked. After a change
      // of the verdict there is time to look, before the next check.
      let healthy = true, asked = 0;
      await using server = await Server.listen((peer) => {
        asked++;
        return sayAndEnd(healthy ? "yes" : "no")(peer);
      });
      const checks = ["--health-expect", "yes", "--health-fall", String(fall), "--health-rise", String(rise)];
      const slow = ["--reactors", "1", "--health-interval", "600ms", "--health-timeout", "300ms"];
      await withSluice([...slow, ...checks, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
        await untilHealth(sluice, "up");
        [healthy, asked] = [false, 0];
        const line = await sluice.line("health", / is down: unexpected_answer/);
        strictEqual(asked, fall);
        strictEqual(/ ([0-9]+) checks? ?/.exec(line.message)?.[1], String(fall));
        [healthy, asked] = [true, 0];
        await sluice.line("health", / is up again: /);
        strictEqual(asked, rise);
      });
    });
  }

  const cases: [what: string, flags: string[], serve: Serve, verdict: "up" | "down", reason: string][] = [
    [
      "a text that is answered as expected",
      ["--health-send", "PING\\n", "--health-expect", "PONG"],
      pongTo("PING\n"),
      "up",
      "healthy",
    ],
    [
      "the expected text inside a longer answer",
      ["--health-send", "PING\\n", "--health-expect", "ONG o"],
      say("+PONG ok\r\n"),
      "up",
      "healthy",
    ],
    [
      "another answer",
      ["--health-send", "PING\\n", "--health-expect", "PONG"],
      sayAndEnd("-ERR"),
      "down",
      "unexpected_answer",
    ],
    ["an answer in pieces", ["--health-expect", "ready"], piecewise(["re", "a", "dy"]), "up", "healthy"],
    ["a server that speaks first", ["--health-expect", "220 "], say("220 smtp.example\r\n"), "up", "healthy"],
    [
      "an answer with bytes that are no text",
      ["--health-send", "\\x00\\xff", "--health-expect", "\\x01\\xfe"],
      pongTo("\x00\xff", "\x01\xfe"),
      "up",
      "healthy",
    ],
    [
      "a regular expression that fits",
      ["--health-expect", "/^(OK|READY) [0-9]+$/"],
      say("READY 42"),
      "up",
      "healthy",
    ],
    [
      "a regular expression that does not fit",
      ["--health-expect", "/^(OK|READY) [0-9]+$/"],
      sayAndEnd("READY?"),
      "down",
      "unexpected_answer",
    ],
    [
      "a server that accepts and never answers",
      ["--health-send", "PING", "--health-expect", "PONG"],
      silent,
      "down",
      "no_answer",
    ],
    [
      "a server that ends without an answer",
      ["--health-expect", "PONG"],
      (peer) => peer.end(),
      "down",
      "unexpected_answer",
    ],
    ["a server that resets", ["--health-expect", "PONG"], (peer) => peer.reset(), "down", "server_reset"],
    [
      "more than 4 KiB before the expected text",
      ["--health-expect", "PONG"],
      say("x".repeat(5_000) + "PONG"),
      "down",
      "unexpected_answer",
    ],
    [
      "the expected text within 4 KiB",
      ["--health-expect", "PONG"],
      say("x".repeat(4_000) + "PONG"),
      "up",
      "healthy",
    ],
    ["a server that says nothing when only the connect is checked", [], silent, "up", "healthy"],
    [
      "interim answers before the one that is expected",
      ["--health-http", "GET /up"],
      sayAndEnd(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n\r\nok",
      ),
      "up",
      "healthy",
    ],
  ];
  for (const [what, flags, serve, verdict, reason] of cases) {
    it(`${what}: ${verdict}`, async () => {
      await using server = await Server.listen(serve);
      await withSluice([...FAST, ...flags, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
        const line = await sluice.line("health", verdict === "up" ? / is up: / : / is down: /);
        strictEqual(line.reason, reason);
        if (verdict === "down") match(line.message, /, 3 checks in a row$/);
        const news = told(sluice);
        deepStrictEqual(
          [news[0], news[news.length - 1]],
          verdict === "up" ? ["is up", "is up"] : ["first failure", "is down"],
        );
        ok(news.length <= 3, news.join());
        const known = serverOf(await untilHealth(sluice, verdict));
        strictEqual(known.last_check?.reason, reason);
      });
    });
  }

  const http = ["--health-http", "GET /up"];
  /** What is told of a check that fails, in the log and in /status. */
  const heards: [what: string, flags: string[], serve: Serve, told: RegExp, status: number | null][] = [
    ["status 500", http, reply("500 Oops"), /^status 500, expected 200-299$/, 500],
    [
      "status 204 where 200 is expected",
      [...http, "--health-expect", "200"],
      reply("204 -"),
      /^status 204, expected 200$/,
      204,
    ],
    [
      "a server that speaks SSH",
      http,
      sayAndEnd("SSH-2.0-OpenSSH_9.9\r\n"),
      /^the answer is not HTTP$/,
      null,
    ],
    [
      "a head with a bad line",
      http,
      sayAndEnd("HTTP/1.1 200 OK\r\nnocolon\r\n\r\n"),
      /^the answer is not valid HTTP: A line of the head has no colon$/,
      null,
    ],
    [
      "a head that ends early",
      http,
      sayAndEnd("HTTP/1.1 200 OK\r\nA: b"),
      /^the head of the answer is not whole$/,
      null,
    ],
    [
      "a head that does not come in whole in time",
      http,
      say("HTTP/1.1 200 OK\r\nA: b"),
      /^no answer in time: the head of the answer is not whole$/,
      null,
    ],
    [
      "a head longer than 4 KiB",
      http,
      sayAndEnd(`HTTP/1.1 200 OK\r\nA: ${"a".repeat(5_000)}\r\n\r\n`),
      /^the head of the answer is longer than 4096 bytes$/,
      null,
    ],
    [
      "no byte at all",
      http,
      (peer) => peer.end(),
      /^the server ended the connection without an answer$/,
      null,
    ],
    [
      "another text",
      ["--health-expect", "PONG"],
      sayAndEnd("-ERR"),
      /^the answer does not contain "PONG"$/,
      null,
    ],
    [
      "no text that fits",
      ["--health-expect", "/^PONG$/"],
      sayAndEnd("-ERR"),
      /^the answer does not fit \/\^PONG\$\/$/,
      null,
    ],
    [
      "another text of a server that goes on listening",
      ["--health-send", "PING", "--health-expect", "PONG"],
      say("-ERR"),
      /^no answer in time: the answer does not contain "PONG" as far as it came$/,
      null,
    ],
    [
      "a longer text",
      ["--health-expect", "PONG"],
      say("x".repeat(5_000)),
      /^the answer does not contain "PONG" within the first 4096 bytes of the answer$/,
      null,
    ],
    [
      "an expression that is too much for the answer",
      ["--health-expect", "/^(a|aa)+(a|aa)+(a|aa)+(a|aa)+$/"],
      sayAndEnd("a".repeat(3_000) + "b"),
      /^the expression took too many steps on the answer$/,
      null,
    ],
    ["nothing", ["--health-expect", "PONG"], silent, /^no answer in time$/, null],
  ];
  for (const [what, flags, serve, told, status] of heards) {
    it(`is told: ${what}`, async () => {
      await using server = await Server.listen(serve);
      await withSluice([...FAST, ...flags, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
        const line = await sluice.line("health", / is down: /);
        const { why, last_check: last } = serverOf(await untilHealth(sluice, "down"));
        for (const heard of [why, last]) {
          match(heard?.text ?? "", told);
          strictEqual(heard?.status, status);
        }
        strictEqual(line.status, status);
        const said = (why?.text ?? "").replace(/^no answer in time(: )?/, "");
        ok(line.message.includes(`${said})`) || said === "", line.message);
      });
    });
  }

  it("another status of a server that is down is the newest, and no news", async () => {
    let status = "500 Oops";
    await using server = await Server.listen((peer) => reply(status)(peer));
    await withSluice([...FAST, ...http, `tcp://127.0.0.1:0=${server.address}`], async (sluice) => {
      await untilHealth(sluice, "down");
      status = "503 Later";
      const known = serverOf(
        await sluice.until("the newest status", (now) => serverOf(now).last_check?.status === 503),
      );
      strictEqual(known.health, "down");
      strictEqual(known.why?.status, 500);
      deepStrictEqual(
        sluice.log("health").filter(({ level }) => level !== "debug").map((
          line,
        ) => [line.level, line.status]),
        [["warn", 500]],
      );
    });
  });

  it("the body of a good status that is not as expected is told with both", async () => {
    await using server = await Server.listen(reply("200 OK", "down for repair"));
    const health = { http: "GET /up", body: "ready", interval: "100ms" };
    using folder = new Folder();
    writeFileSync(
      folder.at("sluice.yaml"),
      JSON.stringify({
        listeners: { web: { bind: "http://127.0.0.1:0", to: "app" } },
        upstreams: { app: { servers: [server.address], health } },
      }),
    );
    const words = [...command("executable"), "run", "-c", folder.at("sluice.yaml")];
    await withSluice([], async (sluice) => {
      await sluice.line("health", / is down: unexpected_answer \(status 200, but its body /);
      const { why } = serverOf(await untilHealth(sluice, "down"));
      deepStrictEqual([why?.status, why?.text], [200, 'status 200, but its body does not contain "ready"']);
    }, { command: words });
  });

  it("a connect that is never answered: connection_timeout", async () => {
    using hole = await BlackHole.open();
    await withSluice([...FAST, `tcp://127.0.0.1:0=${hole.address}`], async (sluice) => {
      await sluice.line("health", / is down: connection_timeout /);
      const known = serverOf(await untilHealth(sluice, "down"));
      strictEqual(known.why?.reason, "connection_timeout");
    });
  });

  it("--health off: nobody is checked", async () => {
    await using server = await Server.listen(silent);
    await withSluice(
      ["--health", "off", "--reactors", "1", `tcp://127.0.0.1:0=${server.address}`],
      async (sluice) => {
        using client = await Peer.connect(sluice.port());
        await sluice.until("the connection to be there", (status) => serverOf(status).connections.now === 1);
        client.reset();
        await sluice.ended(1);
        strictEqual(server.connections, 1);
        strictEqual(serverOf(await sluice.status()).health, "unchecked");
      },
    );
  });

  it("one check for an address, whoever names it", async () => {
    await using server = await Server.listen(silent);
    const words = [`tcp://127.0.0.1:0=${server.address}`, `tcp://127.0.0.1:0=${server.address}`];
    const slow = ["--health-interval", "1h", "--reactors", "1"];
    await withSluice([...slow, ...words], async (sluice) => {
      const { upstreams } = await sluice.until(
        "both to be up",
        ({ upstreams }) => upstreams.every(({ servers }) => servers[0].health === "up"),
      );
      strictEqual(upstreams.length, 2);
      strictEqual(server.connections, 1);
      await until("it to be told", () => sluice.log("health").length > 0);
      const [line, ...more] = sluice.log("health");
      deepStrictEqual(more, []);
      match(line.message, / of upstreams "tcp:\/\/127\.0\.0\.1:0", "tcp:\/\/127\.0\.0\.1:0#2" is up/);
    });
  });

  it("an ejected server gets no connection; the others share them", async () => {
    const closed = `127.0.0.1:${await freePort()}`;
    await using one = await Server.listen(sayAndEnd("1"));
    await using two = await Server.listen(sayAndEnd("2"));
    const targets = [one.address, closed, two.address].join();
    await withSluice([...FAST, "--health-fall", "1", `tcp://127.0.0.1:0=${targets}`], async (sluice) => {
      await untilHealth(sluice, "down", 1);
      let answers = "";
      for (let turn = 0; turn < 12; turn++) {
        using client = await Peer.connect(sluice.port());
        answers += await client.readAll();
        client.end();
      }
      ok(/^(12)+$|^(21)+$/.test(answers), answers);
      for (const record of await sluice.ended(12)) strictEqual(record.tried, 1);
    });
  });

  it("a failing server is checked again sooner", async () => {
    const port = await freePort();
    await withSluice([
      "--reactors",
      "1",
      "--health-interval",
      "2s",
      "--health-fall",
      "3",
      `tcp://127.0.0.1:0=127.0.0.1:${port}`,
    ], async (sluice) => {
      const from = performance.now();
      await untilHealth(sluice, "down");
      const took = performance.now() - from;
      ok(took < 2_500, `three failures of a check every 2 s took ${took} ms`);
    });
  });
});

/** Answers with a status and a body, and ends. */
function reply(status: string, body = ""): Serve {
  return sayAndEnd(`HTTP/1.1 ${status}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
}

/** Says something and waits for the other end. */
function say(text: string): Serve {
  return (peer) => peer.send(Buffer.from(text, "latin1"));
}

/** Answers only to exactly the right question. */
function pongTo(question: string, answer = "PONG\n"): Serve {
  return async (peer) => {
    if (await peer.readText(question.length) === question) await peer.send(Buffer.from(answer, "latin1"));
  };
}

function piecewise(parts: readonly string[]): Serve {
  return async (peer) => {
    for (const part of parts) {
      await peer.send(part);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
}
