// Clients of the admin API that mean no good: slow, huge, malformed, many, or a page in somebody's browser. None of them
// keeps an operator out, changes anything, or disturbs traffic.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { describe, it } from "node:test";
import { command, run, Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { Peer } from "../support/peer.ts";
import { echo, Server } from "../support/servers.ts";
import { until, within } from "../support/waiting.ts";

const ALONE = ["--reactors", "1", "--health", "off"];
/** An answer to an operator while others are at it. */
const PROMPT_MS = 5_000;
const TOKEN = "correct-horse-battery-staple";

/** What a client got until the server closed. */
interface Heard {
  readonly text: string;
  readonly ms: number;
}

function where(sluice: Sluice): { path: string } | { host: string; port: number } {
  if (sluice.admin.startsWith("unix:")) return { path: sluice.admin.slice("unix:".length) };
  const { hostname, port } = new URL(sluice.admin);
  return { host: hostname, port: Number(port) };
}

/** Says pieces, one every `gapMs`, until it is closed. */
async function converse(sluice: Sluice, pieces: readonly string[], gapMs = 0): Promise<Heard> {
  const began = performance.now(), socket = connect(where(sluice));
  let text = "", timer: ReturnType<typeof setTimeout> | undefined;
  const say = (at: number): void => {
    if (at === pieces.length || socket.destroyed) return;
    socket.write(pieces[at]);
    timer = setTimeout(() => say(at + 1), gapMs);
  };
  socket.on("connect", () => say(0));
  socket.on("data", (part) => text += part.toString("latin1"));
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  try {
    await within(`the end of ${JSON.stringify(pieces[0]?.slice(0, 40))}, with ${text}`, closed, 20_000);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
  return { text, ms: performance.now() - began };
}

function head(method: string, path: string, ...fields: string[]): string {
  return [`${method} ${path} HTTP/1.1`, "Host: localhost", ...fields, "", ""].join("\r\n");
}

/** A whole request that would drain the server. */
function drain(server: string, fields: readonly string[] = [], path = "/drain"): string {
  const body = JSON.stringify({ server });
  return head("POST", path, "Content-Type: application/json", `Content-Length: ${body.length}`, ...fields) +
    body;
}

const statusIn = ({ text }: Heard): number => Number(/^HTTP\/1\.1 ([0-9]{3}) /.exec(text)?.[1] ?? 0);

/** Nothing is changed, an operator is answered at once, and traffic flows. */
async function assertUnharmed(sluice: Sluice, token?: string): Promise<void> {
  const began = performance.now();
  using client = await Peer.connect(sluice.port());
  strictEqual(await client.ask("hello"), "hello");
  client.end();
  strictEqual(await client.ending(), "fin");
  const { status, stdout, stderr } = await run(
    [
      "servers",
      "--admin",
      sluice.admin,
      "--format",
      "json",
      ...(token === undefined ? [] : ["--admin-token", token]),
    ],
    { command: command("executable") },
  );
  deepStrictEqual([status, stderr], [0, ""]);
  const [{ drained, disabled, weight }] = JSON.parse(stdout).servers;
  deepStrictEqual([drained, disabled, weight], [false, false, 1]);
  ok(performance.now() - began < PROMPT_MS, `it took ${performance.now() - began} ms`);
}

async function withTarget(
  words: readonly string[],
  test: (sluice: Sluice, server: string) => Promise<void>,
): Promise<void> {
  await using server = await Server.listen(echo);
  await withSluice(
    [...ALONE, ...words, `tcp://127.0.0.1:0=${server.address}`],
    (sluice) => test(sluice, server.address),
  );
}

describe("the admin API", () => {
  it("is for its owner alone, by default and by unix socket", async () => {
    using folder = new Folder();
    await withTarget(["--admin", `unix:${folder.at("admin.sock")}`], async (sluice, server) => {
      const { mode, uid } = statSync(folder.at("admin.sock"));
      deepStrictEqual([mode & 0o777, uid], [0o600, process.getuid?.() ?? 0]);
      strictEqual(statusIn(await converse(sluice, [drain(server)])), 200);
      match((await sluice.line("audit", /drained/)).message, /; by the unix socket$/);
      strictEqual(statusIn(await converse(sluice, [drain(server, ["User-Agent: me\x01"], "/enable")])), 400);
      strictEqual(statusIn(await converse(sluice, [drain(server, ["User-Agent: me"], "/enable")])), 200);
      match((await sluice.line("audit", /-> in use/)).message, /; by the unix socket \(me\)$/);
    });
  });

  it("beyond loopback asks for a token, or Sluice does not start", async () => {
    const { status, stderr } = await run([
      ...ALONE,
      "--admin",
      "http://0.0.0.0:0",
      "tcp://127.0.0.1:0=127.0.0.1:9",
    ]);
    strictEqual(status, 2);
    match(stderr, /can be reached from other machines, and there is no admin token/);
    await using target = await Server.listen(echo);
    const words = [...ALONE, "--admin", "http://127.0.0.1:0", "--admin-token", TOKEN],
      server = target.address;
    using sluice = await Sluice.startWithoutAdmin([...words, `tcp://127.0.0.1:0=${server}`]);
    sluice.admin = (await sluice.line("admin", /^admin API on /)).message.slice("admin API on ".length);
    for (const path of ["/drain", "/disable", "/enable", "/weight", "/close", "/log-level"]) {
      for (const fields of [[], ["Authorization: Bearer x"], [`Authorization: Basic ${TOKEN}`]]) {
        const heard = await converse(sluice, [drain(server, fields, path)]);
        strictEqual(statusIn(heard), 401, path);
        ok(!heard.text.includes(TOKEN));
      }
    }
    await assertUnharmed(sluice, TOKEN);
    const [first, ...more] = sluice.log("audit");
    match(
      first.message,
      /^POST \/drain is refused with 401: give the admin token: Authorization: Bearer TOKEN; by 127\.0\.0\.1:[0-9]+$/,
    );
    ok(more.length >= 4 && more.length <= 17, `${more.length} more lines`);
    const fields = [`Authorization: Bearer ${TOKEN}`];
    strictEqual(statusIn(await converse(sluice, [drain(server, fields)])), 200);
    strictEqual(statusIn(await converse(sluice, [drain(server, fields, "/enable")])), 200);
  });

  it("does nothing for a page in a browser, and tells it nothing that lets it", async () => {
    await withTarget([], async (sluice, server) => {
      const page = ["Origin: http://evil.example"], port = new URL(sluice.admin).port;
      const cases: [bytes: string, status: number, why: string][] = [
        [drain(server, page), 403, "a page's POST"],
        [drain(server, ["Origin: null"]), 403, "of a sandboxed one"],
        [drain(server, [`Origin: http://127.0.0.1:${port}`]), 403, "of one that was served from here"],
        [drain(server).replace("Host: localhost", "Host: evil.example"), 403, "by DNS rebinding"],
        [drain(server).replace("application/json", "text/plain"), 415, "as a form can send it"],
        [drain(server).replace("application/json", "application/x-www-form-urlencoded"), 415, "a form"],
        [head("OPTIONS", "/drain", ...page, "Access-Control-Request-Method: POST"), 405, "a preflight"],
        [head("OPTIONS", "*"), 400, "of everything"],
        [head("GET", `/drain?server=${server}`), 405, "GET changes nothing"],
        [head("GET", `/weight?server=${server}&weight=5`), 405, "GET changes nothing"],
        [head("HEAD", "/close?all=true"), 405, "nor does HEAD"],
        [head("PUT", "/drain", "Content-Length: 0"), 405, "nor another method"],
        [head("DELETE", "/connections"), 405, "nor another method"],
      ];
      for (const [bytes, status, why] of cases) {
        const heard = await converse(sluice, [bytes]);
        strictEqual(statusIn(heard), status, why);
        ok(!/access-control/i.test(heard.text), why);
      }
      await assertUnharmed(sluice);
      match(
        (await sluice.line("audit", /^POST \/drain is refused with 403: a page/)).message,
        /no Origin; by 127/,
      );
    });
  });

  it("refuses what is malformed or huge, without doing any of it", async () => {
    await withTarget([], async (sluice, server) => {
      const json = "Content-Type: application/json", body = JSON.stringify({ server });
      const cases: [bytes: string, statuses: number[], why: string][] = [
        [head("GET", "/status", `A: ${"a".repeat(20_000)}`), [431], "a huge field"],
        [head("GET", `/${"a".repeat(20_000)}`), [431, 414], "a huge target"],
        [
          head("GET", "/status", ...Array.from({ length: 3_000 }, (_, nth) => `A${nth}: b`)),
          [431],
          "many fields",
        ],
        [head("POST", "/drain", json, "Content-Length: 99999999"), [413], "a huge body"],
        [
          head("POST", "/drain", json, "Content-Length: 65537") + "x".repeat(65_537),
          [413],
          "one byte too many",
        ],
        [
          head("POST", "/drain", json, "Transfer-Encoding: chunked") +
          `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
          [
            411,
          ],
          "a body of unknown length",
        ],
        [head("POST", "/drain", json, "Content-Length: -1"), [400], "no length"],
        [
          head("POST", "/drain", json, `Content-Length: ${body.length}`, "Transfer-Encoding: chunked") + body,
          [400],
          "two lengths",
        ],
        [head("POST", "/drain", json, "Content-Length: 0"), [400], "no body"],
        [head("POST", "/drain", json, "Content-Length: 4") + "null", [400], "no object"],
        [head("POST", "/drain", json, "Content-Length: 60000") + "[".repeat(60_000), [400], "deep nonsense"],
        [head("POST", "/drain", json, "Content-Length: 8") + '{"server', [400], "cut short"],
        ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no HTTP\r\n\r\n", [400, 0], "TLS"],
        ["GET /status\r\n\r\n", [400, 0], "HTTP/0.9"],
        ["\0".repeat(4_000), [400, 0], "zeros"],
        [head("GET", "/status").replace("Host: localhost\r\n", ""), [400, 403], "no Host"],
      ];
      for (const [bytes, statuses, why] of cases) {
        const heard = await converse(sluice, [bytes]);
        ok(statuses.includes(statusIn(heard)), `${why}: ${heard.text.slice(0, 100)}`);
      }
      await assertUnharmed(sluice);
    });
  });

  it("gives up on who drips a head or a body, and serves others meanwhile", async () => {
    await withTarget([], async (sluice, server) => {
      const slow = [
        converse(sluice, ["GET /status HTTP/1.1\r\n", ..."X: y\r\n".repeat(100).split(/(?<=\n)/)], 200),
        converse(sluice, [
          ...head("POST", "/drain", "Content-Type: application/json", "Content-Length: 4000"),
        ], 200),
        converse(sluice, [
          head("POST", "/drain", "Content-Type: application/json", "Content-Length: 4000"),
          ...drain(server).repeat(2),
        ], 200),
        converse(sluice, [head("POST", "/drain", "Content-Type: application/json", "Content-Length: 4000")]),
      ];
      await assertUnharmed(sluice);
      for (const heard of await Promise.all(slow)) match(heard.text, /^(HTTP\/1\.1 408 |$)/);
      await assertUnharmed(sluice);
    });
  });

  it("finds room for an operator beside a thousand who say nothing, or not all", async () => {
    await withTarget([], async (sluice) => {
      const kinds: [bytes: string, why: string][] = [
        ["", "nothing"],
        ["GET /sta", "a part of a head"],
        [
          head("POST", "/drain", "Content-Type: application/json", "Content-Length: 100"),
          "a head without its body",
        ],
      ];
      for (const [bytes, why] of kinds) {
        const sockets: Socket[] = [];
        let open = 0;
        for (let nth = 0; nth < 1_000; nth++) {
          const socket = connect(where(sluice));
          socket.on("error", () => {});
          socket.on("connect", () => {
            open++;
            socket.write(bytes);
          });
          socket.on("close", () => open--);
          socket.resume();
          sockets.push(socket);
        }
        await until(
          `all but few to be closed that say ${why}`,
          () =>
            Promise.resolve(
              open > 0 && open <= 64 && sockets.every(({ connecting }) => !connecting) ? true : undefined,
            ),
        );
        await assertUnharmed(sluice);
        for (const socket of sockets) socket.destroy();
      }
    });
  });

  it("does the first of pipelined requests, and ends the connection", async () => {
    await withTarget([], async (sluice, server) => {
      const flood = await converse(sluice, [head("GET", "/healthz").repeat(5_000)]);
      strictEqual(flood.text.split("HTTP/1.1 ").length - 1, 1);
      await converse(sluice, [head("GET", "/healthz") + drain(server)]);
      await assertUnharmed(sluice);
      const smuggled = await converse(sluice, [head("GET", "/healthz", "Content-Length: 5") + drain(server)]);
      strictEqual(smuggled.text.split("HTTP/1.1 ").length - 1, 1);
      await assertUnharmed(sluice);
    });
  });

  it("tells of many refusals as samples", async () => {
    await withTarget([], async (sluice, server) => {
      const page = drain(server, ["Origin: http://evil.example"]);
      for (let nth = 0; nth < 10; nth++) {
        await Promise.all(Array.from({ length: 20 }, () => converse(sluice, [page])));
      }
      const said = sluice.log("audit").filter(({ message }) => message.includes("refused with"));
      await sluice.line("audit", /^and [0-9]+ more refused within a second$/);
      ok(said.length < 100, `${said.length} lines of 200 refusals`);
    });
  });
});
