// The access log of a running Sluice: each format line by line, templates, samples, what hostile clients send,
// and connections that died with their reactor.
import { deepStrictEqual, match, ok as yes, strictEqual } from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { command, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { type AnswerTo, HttpOrigin, ok } from "../support/http_origin.ts";
import { HttpPeer, statusOf } from "../support/http_peer.ts";
import { PatchedSluice, RECEIVE } from "../support/patched.ts";
import { knock, Peer } from "../support/peer.ts";
import { echo, freePort, Server } from "../support/servers.ts";
import { until } from "../support/waiting.ts";

/** A Sluice with a listener for HTTP and one for TCP, and its access log in a file. */
class Logged {
  readonly sluice: Sluice;
  readonly #path: string;

  constructor(sluice: Sluice, path: string) {
    this.sluice = sluice;
    this.#path = path;
  }

  /** The lines, once there are so many. */
  lines(count: number): Promise<string[]> {
    return until(`${count} lines`, () => {
      const lines = this.now;
      return lines.length >= count ? lines : undefined;
    });
  }

  get now(): string[] {
    return readFileSync(this.#path, "utf8").split("\n").slice(0, -1);
  }

  async ask(head: string): Promise<{ readonly client: string; readonly status: number }> {
    const client = await HttpPeer.connect(this.sluice.port(0));
    const { head: answer } = await client.ask(head);
    const { address } = client.peer;
    client[Symbol.dispose]();
    return { client: address, status: statusOf(answer) };
  }

  /** A connection through the listener for TCP that says this and hears it; its client. */
  async echo(text: string): Promise<string> {
    using client = await Peer.connect(this.sluice.port(1));
    strictEqual(await client.ask(text), text);
    client.end();
    strictEqual(await client.ending(), "fin");
    return client.address;
  }
}

interface Setup {
  readonly access: object;
  readonly answer?: AnswerTo;
  readonly listener?: object;
  /** Of an executable in place of the built one. */
  readonly command?: readonly string[];
}

async function withLog(
  { access, answer = () => ok("hello"), listener = {}, command: own }: Setup,
  test: (logged: Logged, origin: HttpOrigin, server: Server) => Promise<void>,
): Promise<void> {
  using folder = new Folder();
  await using origin = await HttpOrigin.listen(answer);
  await using server = await Server.listen(echo);
  const path = folder.at("access.log");
  const config = {
    reactors: 1,
    log: { format: "json", access: { to: path, ...access } },
    listeners: {
      web: { bind: "http://127.0.0.1:0", to: "app", ...listener },
      db: { bind: "tcp://127.0.0.1:0", to: "echo" },
    },
    upstreams: {
      app: { servers: [origin.address], health: "off" },
      echo: { servers: [server.address], health: "off" },
    },
  };
  writeFileSync(folder.at("sluice.yaml"), JSON.stringify(config));
  const run = [...(own ?? command("executable")), "run", "-c", folder.at("sluice.yaml")];
  using sluice = await Sluice.start([], { command: run });
  await test(new Logged(sluice, path), origin, server);
  await origin[Symbol.asyncDispose]();
  await sluice.finish();
}

const GET = "GET /a?b HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: curl/8\r\nReferer: http://a/\r\n\r\n";

/** A line whose times are masked. */
const masked = (line: string): string =>
  line.replace(/[0-9-]{10}T[0-9:.]{12}Z/, "TIME")
    .replace(/[0-9]{2}\/[A-Z][a-z]{2}\/[0-9]{4}(:[0-9]{2}){3} \+0000/, "TIME")
    .replace(/ (connect|first|ms)=[0-9]+\.[0-9]/g, " $1=MS")
    .replace(/ up=[0-9]{3} /, " up=UP ") // ports have one digit more or less
    .replace(/"up_bytes":[0-9]{3},/, '"up_bytes":UP,')
    .replace(/_ms":[0-9]+\.[0-9]/g, '_ms":MS');

describe("formats of the access log", () => {
  const formats: [
    access: object,
    http: (client: string, server: string) => string,
    tcp: (client: string, server: string) => string,
  ][] = [
    [
      { format: "text" },
      (client, server) =>
        `TIME ${client} "GET /a?b" shop.example 200 -> ${server} listener="web" route="" upstream="app" up=UP ` +
        "down=80 queue=- connect=MS first=MS ms=MS tried=1 reused=0 reason=finished",
      (client, server) =>
        `TIME ${client} -> ${server} listener="db" upstream="echo" up=6 down=6 ms=MS tried=1 reason=finished`,
    ],
    [
      { format: "json" },
      (client, server) =>
        `{"time":"TIME","client":"${client}","method":"GET","target":"/a?b","host":"shop.example",` +
        `"status":200,"server":"${server}","listener":"web","route":null,"upstream":"app","up_bytes":UP,` +
        `"down_bytes":80,"queue_ms":null,"connect_ms":MS,"first_byte_ms":MS,"duration_ms":MS,"tried":1,` +
        `"reused":false,"reason":"finished","type":null,"errno":null,"detail":null}`,
      (client, server) =>
        `{"time":"TIME","client":"${client}","listener":"db","upstream":"echo","server":"${server}",` +
        `"up_bytes":6,"down_bytes":6,"duration_ms":MS,"reason":"finished","type":null,"errno":null,"detail":null,"tried":1}`,
    ],
    [
      { format: "combined" },
      () => '127.0.0.1 - - [TIME] "GET /a?b HTTP/1.1" 200 80 "http://a/" "curl/8"',
      () => '127.0.0.1 - - [TIME] "-" - 6 "-" "-"',
    ],
    [
      { template: "{{{client}}} {method} {path} {protocol} {request.user-agent} {request.x-none} {server}" },
      (client, server) => `{${client}} GET /a http/1.1 curl/8 - ${server}`,
      (client, server) => `{${client}} - - tcp - - ${server}`,
    ],
    [
      { template: { http: '{"who":{client.address},"agent":{request.user-agent}}', tcp: "{listener}" } },
      () => '{"who":"127.0.0.1","agent":"curl/8"}',
      () => "db",
    ],
  ];
  for (const [access, http, tcp] of formats) {
    it(JSON.stringify(access).slice(0, 60), () =>
      withLog({ access }, async (logged, origin, server) => {
        const { client } = await logged.ask(GET);
        strictEqual(masked((await logged.lines(1))[0]), http(client, origin.address));
        const other = await logged.echo("hello!");
        strictEqual(masked((await logged.lines(2))[1]), tcp(other, server.address));
      }));
  }

  it("what is no HTTP has a line as well", () =>
    withLog({ access: { format: "combined" } }, async (logged) => {
      strictEqual((await logged.ask("\x16\x03\x01 / HTTP/1.1\r\nHost: a\r\n\r\n")).status, 400);
      match(masked((await logged.lines(1))[0]), /^127\.0\.0\.1 - - \[TIME\] "-" 400 [0-9]+ "-" "-"$/);
    }));

  it("a request is known by the number that its server and its answer know", () =>
    withLog({ access: { template: "{request_id}" } }, async (logged, origin) => {
      await logged.ask(GET);
      const [line] = await logged.lines(1);
      match(line, /^[0-9a-f]{32}$/);
      yes(new RegExp(`^X-Request-ID: ${line}\r$`, "m").test(String(origin.requests[0].head.text)));
    }));

  it("a request of a trusted proxy keeps its number", () =>
    withLog(
      { access: { template: "{request_id}" }, listener: { trust: ["127.0.0.0/8"] } },
      async (logged) => {
        await logged.ask('GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: id "7"\r\n\r\n');
        deepStrictEqual(await logged.lines(1), ["id \\x227\\x22"]);
      },
    ));
});

describe("a hostile client", () => {
  const nasty = 'x" 200 0 "\\\t\x80\xff{client}';
  const head = `GET /"\\ HTTP/1.1\r\nHost: a\r\nUser-Agent: ${nasty}\r\nX-Long: ${"l".repeat(9_000)}\r\n\r\n`;

  it("stays within its quotes and its line", () =>
    withLog({ access: { format: "combined" } }, async (logged) => {
      await logged.ask(head);
      await logged.ask(GET);
      const lines = await logged.lines(2);
      strictEqual(lines.length, 2);
      strictEqual(
        masked(lines[0]),
        '127.0.0.1 - - [TIME] "GET /\\x22\\x5c HTTP/1.1" 200 80 "-" ' +
          '"x\\x22 200 0 \\x22\\x5c\\x09\\x80\\xff{client}"',
      );
    }));

  it("stays within its JSON", () =>
    withLog(
      { access: { template: '{"agent":{request.user-agent},"long":{request.x-long}}' } },
      async (logged) => {
        await logged.ask(head);
        const [line] = await logged.lines(1);
        deepStrictEqual(JSON.parse(line), { agent: nasty, long: "l".repeat(256) });
      },
    ));

  it("cannot make its line too long to be written", () =>
    withLog({ access: { format: "json" } }, async (logged) => {
      await logged.ask(`GET /${'"'.repeat(8_000)} HTTP/1.1\r\nHost: a\r\n\r\n`);
      const [line] = await logged.lines(1);
      strictEqual(JSON.parse(line).target, `/${'"'.repeat(1_535)}`);
    }));
});

describe("a sample", () => {
  const REQUESTS = 400;

  /** Requests on one connection, of which every fourth fails. */
  async function ask(logged: Logged): Promise<void> {
    using client = await HttpPeer.connect(logged.sluice.port(0));
    for (let number = 0; number < REQUESTS; number++) {
      await client.ask(`GET /${number % 4 === 0 ? "bad" : "good"} HTTP/1.1\r\nHost: a\r\n\r\n`);
    }
  }
  const answer: AnswerTo = ({ head }) =>
    head.text.startsWith("GET /bad")
      ? "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
      : ok("hello");

  /** The lines of all requests: the last one, of a connection that fails, is always written. */
  async function linesOf(logged: Logged, server: Server): Promise<string[]> {
    await ask(logged);
    await logged.echo("ends well");
    await server.kill();
    strictEqual(await knock(logged.sluice.port(1)), "reset");
    await until("the last line", () => logged.now.at(-1) === "- - connection_refused");
    return logged.now.slice(0, -1);
  }

  it("has all that failed, and of the others about the share", () => {
    const access = { template: "{path} {status} {reason}", sample: "30%" };
    return withLog({ access, answer }, async (logged, _, server) => {
      const lines = await linesOf(logged, server);
      const bad = lines.filter((line) => line === "/bad 500 finished").length;
      const good = lines.filter((line) => line === "/good 200 finished").length;
      strictEqual(bad, REQUESTS / 4);
      yes(good > 45 && good < 135, `${good} of 300, where 90 are expected`); // more than five deviations
    });
  });

  it("of nothing has what failed alone, connections too", () => {
    const access = { template: "{path} {status} {reason}", sample: "0%" };
    return withLog({ access, answer }, async (logged, _, server) => {
      deepStrictEqual(await linesOf(logged, server), Array(REQUESTS / 4).fill("/bad 500 finished"));
    });
  });
});

describe("a reactor that dies", () => {
  it("has its lines told by the control plane, in the same words", async () => {
    using patched = new PatchedSluice([
      {
        file: "proxy/pump.ts",
        find: RECEIVE,
        replace: `${RECEIVE}
  if (read === 4) throw new TypeError("a planted death");`,
      },
    ]);
    const access = {
      template: {
        http: '{"client":{client},"method":{method},"status":{status},"reason":{reason},"in":"{server}"}',
        tcp: "{client} {protocol} {up_bytes} {reason} {type} {upstream} {server} {status}",
      },
    };
    const answer: AnswerTo = () => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun";
    const setup = { access, answer, command: patched.command("executable") };
    await withLog(setup, async (logged, origin, server) => {
      const asking = await HttpPeer.connect(logged.sluice.port(0));
      await asking.send(GET);
      await asking.readHead();
      using client = await Peer.connect(logged.sluice.port(1));
      strictEqual(await client.ask("hello"), "hello");
      await client.send("die!");
      strictEqual(await client.ending(), "reset");
      const lines = await logged.lines(2);
      deepStrictEqual(
        lines.sort(),
        [
          `${client.address} tcp 5 reactor_died proxy_internal_error echo ${server.address} -`,
          `{"client":"${asking.peer.address}","method":null,"status":200,"reason":"reactor_died",` +
          `"in":"${origin.address}"}`,
        ].sort(),
      );
      asking[Symbol.dispose]();
    });
  });
});

describe("without an access log", () => {
  it("requests that failed are told in the log, as samples", async () => {
    const closed = `127.0.0.1:${await freePort()}`;
    const words = ["--reactors", "1", "--health", "off", "--access-log", "off"];
    using sluice = await Sluice.start([...words, `http://127.0.0.1:0=${closed}`]);
    using client = await HttpPeer.connect(sluice.port());
    for (let number = 0; number < 20; number++) {
      strictEqual(statusOf((await client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")).head), 502);
    }
    const line = await sluice.line("connection", /connection_refused/);
    deepStrictEqual([line.level, line.listener], ["warn", "http://127.0.0.1:0"]);
    await sluice.line("connection", /^and 15 more within a second: connection_refused/);
    client[Symbol.dispose]();
    await sluice.finish();
  });
});
