// What a user gets who mistypes, or asks: one line that names the argument and the remedy, on stderr, with the
// right status, and nothing half started.
import { match, ok, strictEqual } from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { AS_NOBODY, command, run, Sluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { Peer } from "../support/peer.ts";
import { echo, freePort, Server } from "../support/servers.ts";

const TARGET = "127.0.0.1:1";

interface Case {
  readonly what: string;
  readonly words: readonly string[];
  /** What the line must name: the argument and the remedy. */
  readonly says: RegExp;
}

const mistakes: readonly Case[] = [
  { what: "nothing at all", words: [], says: /no LISTEN=TARGETS.*sluice --help/ },
  {
    what: "an unknown flag",
    words: ["--reaktors", "2", `tcp://:0=${TARGET}`],
    says: /--reaktors: unknown flag.*--reactors/,
  },
  { what: "an unknown command", words: ["dmeo"], says: /dmeo.*demo/ },
  { what: "a listener without targets", words: ["tcp://:9000"], says: /tcp:\/\/:9000/ },
  { what: "a target without a port", words: ["tcp://:9000=10.0.0.1"], says: /10\.0\.0\.1.*10\.0\.0\.1:PORT/ },
  { what: "a listener without a port", words: [`tcp://localhost=${TARGET}`], says: /localhost:PORT/ },
  { what: "a port out of range", words: [`tcp://:65536=${TARGET}`], says: /65536.*0 to 65535/ },
  { what: "an address that is none", words: ["tcp://:9000=10.0.0.256:80"], says: /10\.0\.0\.256.*0 to 255/ },
  { what: "an IPv6 address without brackets", words: ["tcp://:9000=::1:80"], says: /\[::1\]:80/ },
  { what: "an unknown scheme", words: [`tpc://:9000=${TARGET}`], says: /tpc.*tcp/ },
  {
    what: "a flag without its value",
    words: [`tcp://:0=${TARGET}`, "--reactors"],
    says: /--reactors: no value/,
  },
  {
    what: "a value out of range",
    words: ["--reactors", "65", `tcp://:0=${TARGET}`],
    says: /--reactors:.*65.*1 to 64|--reactors:.*1 to 64/,
  },
  {
    what: "a duration without a unit",
    words: ["--drain-timeout", "30", `tcp://:0=${TARGET}`],
    says: /--drain-timeout:.*30/,
  },
  {
    what: "two values for one flag",
    words: ["--reactors", "1", "--reactors", "2", `tcp://:0=${TARGET}`],
    says: /--reactors.*given twice/,
  },
  {
    what: "a check that is off and described",
    words: ["--health", "off", "--health-fall", "2", `tcp://:0=${TARGET}`],
    says: /--health-fall.*contradicts --health off/,
  },
  {
    what: "a text to send without one to expect",
    words: ["--health-send", "PING", `tcp://:0=${TARGET}`],
    says: /--health-send.*expect/,
  },
  {
    what: "a bad escape",
    words: ["--health-expect", "\\xZZ", `tcp://:0=${TARGET}`],
    says: /--health-expect:.*\\/,
  },
  {
    what: "a bad regular expression",
    words: ["--health-expect", "/(/", `tcp://127.0.0.1:0=${TARGET}`, "--admin", "off"],
    says: /--health-expect.*byte [0-9]+/,
  },
  {
    what: "an address listened on twice",
    words: [`tcp://:9000=${TARGET}`, `tcp://127.0.0.1:9000=${TARGET}`],
    says: /127\.0\.0\.1:9000.*taken/,
  },
  {
    what: "a listener that is its own target",
    words: ["tcp://:9000=127.0.0.1:9000"],
    says:
      /^sluice: tcp:\/\/:9000=127\.0\.0\.1:9000: .* is listener "tcp:\/\/:9000" itself: .*; write the address/,
  },
  {
    what: "an admin API for everybody without a token",
    words: ["--admin", "http://0.0.0.0:9900", `tcp://:0=${TARGET}`],
    says: /--admin:.*token/,
  },
  {
    what: "something designed for later",
    words: ["diff"],
    says: /diff: .*not supported/,
  },
];

describe("mistakes on the command line", () => {
  for (const { what, words, says } of mistakes) {
    it(`${what}: status 2 and one line with the remedy`, async () => {
      const { status, stdout, stderr } = await run(words);
      strictEqual(stdout, "");
      strictEqual(stderr.trimEnd().split("\n").length, 1, stderr);
      match(stderr, says);
      match(stderr, /^sluice: /);
      strictEqual(status, 2);
    });
  }

  it("a bad regular expression in a file: its place and its key", async () => {
    using folder = new Folder();
    const path = folder.at("sluice.yaml");
    writeFileSync(
      path,
      `listeners:
  w:
    bind: http://127.0.0.1:0
    routes:
      - match: { path: { regex: "^/a(" } }
        to: u
upstreams:
  u: { servers: "${TARGET}", health: { http: GET /, body: "/(/" } }
`,
    );
    const { status, stderr } = await run(["run", "-c", path, "--admin", "off"]);
    strictEqual(status, 2);
    const [health, route] = stderr.split("\n").sort((a, b) => b.length - a.length).slice(0, 2).reverse();
    strictEqual(
      health,
      `sluice: ${path}:8:61: upstreams.u.health.body: at byte 1 of the expression: ` +
        "missing closing parenthesis; mend it there; see pcre2pattern(3)",
    );
    strictEqual(
      route,
      `sluice: ${path}:5:33: listeners.w.routes[0].match.path.regex: at byte 4 of the expression: ` +
        "missing closing parenthesis; mend it there; see pcre2pattern(3)",
    );
  });

  it("several at once are all told, a line each", async () => {
    const { status, stderr } = await run(["--reactors", "0", "--accept", "sometimes", "tcp://:0=nowhere"]);
    strictEqual(status, 2);
    strictEqual(stderr.trimEnd().split("\n").length, 3, stderr);
  });
});

describe("problems at run time", () => {
  it("a port in use: status 1, one line, and what was open already is closed again", async () => {
    using folder = new Folder();
    await using other = await Server.listen(echo);
    const first = folder.at("first.sock");
    const words = [`unix:${first}=${TARGET}`, `tcp://127.0.0.1:${other.port}=${TARGET}`, "--admin", "off"];
    const { status, stdout, stderr } = await run(words);
    strictEqual(status, 1);
    strictEqual(stdout, "");
    match(
      stderr,
      new RegExp(`^sluice: tcp://127\\.0\\.0\\.1:${other.port}: the address is already in use; .+\n$`),
    );
    ok(!existsSync(first), "the first listener's file is gone");
  });

  it("a port that another Sluice has, in either accept mode: not shared silently", async () => {
    for (const accept of ["balanced", "reuseport"]) {
      await using server = await Server.listen(echo);
      using sluice = await Sluice.start([
        "--health",
        "off",
        "--reactors",
        "2",
        `tcp://127.0.0.1:0=${server.address}`,
      ]);
      const words = [
        "--accept",
        accept,
        `tcp://127.0.0.1:${sluice.port()}=${server.address}`,
        "--admin",
        "off",
      ];
      const { status, stderr } = await run(words);
      strictEqual(status, 1);
      match(stderr, /already in use/);
      using client = await Peer.connect(sluice.port());
      strictEqual(await client.ask("mine still"), "mine still");
      client.end();
      await sluice.ended(1);
      await sluice.finish();
    }
  });

  it("an address that this machine does not have", async () => {
    const { status, stderr } = await run([`tcp://192.0.2.1:0=${TARGET}`, "--admin", "off"]);
    strictEqual(status, 1);
    match(stderr, /^sluice: tcp:\/\/192\.0\.2\.1:0: this machine has no such address; .+\n$/);
  });

  it("a unix path in a directory that is not there", async () => {
    using folder = new Folder();
    const { status, stderr } = await run([`unix:${folder.at("no/such.sock")}=${TARGET}`, "--admin", "off"]);
    strictEqual(status, 1);
    match(stderr, /^sluice: unix:.*such\.sock: the directory of that path does not exist; .+\n$/);
  });

  it("an admin address in use", async () => {
    await using other = await Server.listen(echo);
    const { status, stdout, stderr } = await run([
      `tcp://127.0.0.1:0=${TARGET}`,
      ...["--admin", `http://127.0.0.1:${other.port}`],
    ]);
    strictEqual(status, 1);
    strictEqual(stdout, "");
    match(stderr.trimEnd().split("\n").at(-1)!, /^sluice: cannot open the admin address http:.*in use/);
  });

  it("an access log that cannot be written", async () => {
    using folder = new Folder();
    const { status, stderr } = await run([
      `tcp://127.0.0.1:0=${TARGET}`,
      ...["--admin", "off", "--access-log", folder.at("no/access.log")],
    ]);
    strictEqual(status, 1);
    match(stderr.trimEnd().split("\n").at(-1)!, /^sluice: .*access\.log/);
  });

  it(
    "a privileged port",
    { skip: process.getuid?.() !== 0 && "needs root, to become somebody else" },
    async () => {
      const { status, stdout, stderr } = await run([`tcp://127.0.0.1:80=${TARGET}`, "--admin", "off"], {
        command: [...AS_NOBODY, ...command("executable")],
      });
      strictEqual(stdout, "");
      match(stderr, /^sluice: tcp:\/\/127\.0\.0\.1:80: port 80 is privileged; run as root, .+\n$/);
      strictEqual(status, 1);
    },
  );
});

describe("questions", () => {
  for (const words of [["--help"], ["-h"], ["help"], ["--reactors", "2", "--help"]]) {
    it(`${words.join(" ")}: the help text on stdout, status 0`, async () => {
      const { status, stdout, stderr } = await run(words);
      strictEqual(status, 0);
      strictEqual(stderr, "");
      match(stdout, /^Sluice .*\n\nUsage: sluice /);
      for (const flag of ["--reactors", "--health-expect", "--drain-timeout"]) {
        ok(stdout.includes(flag), flag);
      }
      ok(stdout.split("\n").every((line) => line.length <= 120));
    });
  }

  for (const word of ["--version", "-V"]) {
    it(`${word}: one line on stdout, status 0`, async () => {
      const { status, stdout, stderr } = await run([word]);
      strictEqual(status, 0);
      strictEqual(stderr, "");
      match(stdout, /^sluice [0-9]+\.[0-9]+\.[0-9]+\n$/);
    });
  }

  it("asking starts nothing, whatever else is on the line", async () => {
    const port = await freePort();
    const { status, stdout } = await run([`tcp://127.0.0.1:${port}=${TARGET}`, "--version"]);
    strictEqual(status, 0);
    match(stdout, /^sluice /);
  });
});
