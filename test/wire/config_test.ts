// A configuration as operators handle it: checked, printed, put together from files and the environment, asked
// for by editors and shells. Through the real executable.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { describe, it } from "node:test";
import { AS_NOBODY, command, EXECUTABLE, run, Sluice } from "../support/executable.ts";
import { Certificates } from "../support/certificates.ts";
import { Folder } from "../support/folder.ts";
import { HttpOrigin, ok as answer } from "../support/http_origin.ts";
import { HttpPeer } from "../support/http_peer.ts";
import { echo, freePort, Server } from "../support/servers.ts";

const SMALL =
  'listeners: { a: { bind: "tcp://127.0.0.1:0", to: u } }\nupstreams: { u: { servers: "127.0.0.1:1" } }\n';

describe("sluice check", () => {
  it("of a good file: what is in it, status 0, nothing taken", async () => {
    using folder = new Folder();
    const port = await freePort();
    writeFileSync(folder.at("f.yaml"), SMALL.replace(":0", `:${port}`));
    const { status, stdout, stderr } = await run(["check", "-c", folder.at("f.yaml")]);
    deepStrictEqual([status, stdout, stderr], [0, "good: 1 listener, 1 upstream, 1 server\n", ""]);
    const server = createServer().listen(port, "127.0.0.1"); // nobody has it
    await new Promise((resolve) => server.once("listening", resolve));
    server.close();
  });

  it("of a bad one: every mistake with its line and a caret, status 2", async () => {
    using folder = new Folder();
    writeFileSync(
      folder.at("f.yaml"),
      "listeners:\n  web:\n    bind: http://:0\n    rotues: []\n    to: sit\nupstreams:\n  site: { servers: [127.0.0.1:1] }\n",
    );
    const { status, stdout, stderr } = await run(["check", "-c", folder.at("f.yaml")]);
    deepStrictEqual([status, stderr], [2, ""]);
    const file = folder.at("f.yaml");
    strictEqual(
      stdout,
      [
        `${file}:4:5: listeners.web: unknown key "rotues"; did you mean "routes"?`,
        "    4 |     rotues: []",
        "      |     ^^^^^^",
        `${file}:5:9: listeners.web.to: listener "web" goes to upstream "sit", which does not exist; did you mean "site"?`,
        "    5 |     to: sit",
        "      |         ^^^",
        "",
      ].join("\n"),
    );
    const json = await run(["check", "-c", file, "--format", "json"]);
    strictEqual(json.status, 2);
    const { problems } = JSON.parse(json.stdout) as {
      problems: { line: number; column: number; severity: string }[];
    };
    deepStrictEqual(problems.map(({ line, column, severity }) => [line, column, severity]), [
      [4, 5, "error"],
      [5, 9, "error"],
    ]);
  });

  it("an address in use is a warning: it may be the running Sluice", async () => {
    await using server = await Server.listen(echo);
    const { status, stdout } = await run(["check", `tcp://${server.address}=127.0.0.1:1`]);
    strictEqual(status, 0);
    match(stdout, /in use now, maybe by the running Sluice/);
    match(stdout, /good: .*; 1 warning/);
  });

  it("what this machine has not: an address, a name, a directory, the right to a port", async () => {
    using folder = new Folder();
    const cases: [argument: string, says: RegExp][] = [
      ["tcp://192.0.2.1:80=127.0.0.1:1", /this machine has no such address/],
      ["tcp://127.0.0.1:0=nowhere.invalid:80", /"nowhere\.invalid" does not resolve/],
      [`unix:${folder.at("none/s")}=127.0.0.1:1`, /directory of that path does not exist/],
    ];
    for (const [argument, says] of cases) {
      const { status, stdout } = await run(["check", argument]);
      strictEqual(status, argument.includes("nowhere") ? 0 : 1, argument); // a name may resolve by then
      match(stdout, says, argument);
    }
    writeFileSync(folder.at("file"), "");
    match(
      (await run(["check", `unix:${folder.at("file")}=127.0.0.1:1`])).stdout,
      /a file is there that is no socket/,
    );
    const { stdout } = await run(["check", "tcp://127.0.0.1:0=127.0.0.1:1", "--max-connections", "999999"]);
    match(stdout, /file descriptors carry/);
    const privileged = Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
    if (privileged > 1) {
      const argv = ["check", "tcp://127.0.0.1:1=127.0.0.1:2", "--admin", "off"];
      match((await run(argv, { command: [...AS_NOBODY, EXECUTABLE] })).stdout, /port 1 is privileged/);
    }
  });

  it("where the log and the admin API cannot be: status 1", async () => {
    using folder = new Folder();
    const cases: [more: string, says: RegExp][] = [
      [
        `log: { access: { to: ${folder.at("none/a.log")} } }`,
        /log\.access\.to: the directory of that file does not exist/,
      ],
      [`log: { access: { to: ${folder.at(".")} } }`, /log\.access\.to: a directory/],
      [`admin: "unix:${folder.at("none/a.sock")}"`, /admin: the directory of that path does not exist/],
    ];
    for (const [more, says] of cases) {
      writeFileSync(folder.at("f.yaml"), `${SMALL}${more}\n`);
      const { status, stdout } = await run(["check", "-c", folder.at("f.yaml")]);
      strictEqual(status, 1, more);
      match(stdout, says);
    }
  });

  it("certificates: what start would say of them, and where what is issued cannot be kept", async () => {
    using certificates = new Certificates();
    const good = certificates.leaf("shop.example"), late = certificates.expired("shop.example");
    const listen = "tls://127.0.0.1:0=127.0.0.1:1";
    const cases: [flags: string[], status: number, says: RegExp][] = [
      [["--cert", good.chain, "--key", good.key], 0, /^good: 1 listener, 1 upstream, 1 server\n$/],
      [
        ["--cert", late.chain, "--key", late.key],
        0,
        /^sluice: warning: --cert: .*: expired .* ago, .*; renew it\ngood/,
      ],
      [["--cert", good.chain, "--key", late.key], 2, /^sluice: --key: .*: not the key of that certificate; /],
      [["--cert", good.key], 2, /^sluice: --cert: .*: holds a private key and no certificate; /],
      [["--cert", certificates.at("none")], 2, /^sluice: --cert: .*: there is no such file; /],
      [["--cert", certificates.at(".")], 2, /^sluice: --cert: .*: a directory; /],
      [["--cert", "/dev/zero"], 2, /^sluice: --cert: "\/dev\/zero": longer than 1048576 bytes; /],
    ];
    for (const [flags, status, says] of cases) {
      const checked = await run(["check", listen, ...flags]);
      match(checked.stdout, says, flags.join(" "));
      strictEqual(checked.status, status, flags.join(" "));
    }
    const file = certificates.at("f.yaml");
    const routes = "[{ match: { host: shop.pub }, to: b }]";
    writeFileSync(
      file,
      `listeners: { a: { bind: "https://127.0.0.1:0", routes: ${routes}, tls: { acme: { storage: ${file}/x } } } }\n` +
        'upstreams: { b: { servers: ["127.0.0.1:1"] } }\n',
    );
    const { status, stdout } = await run(["check", "-c", file]);
    strictEqual(status, 1);
    match(stdout, /listeners\.a\.tls\.acme\.storage: ".*f\.yaml" is no directory; /);
  });

  it("a mistake in a section that two files have is told of the file that has it", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("a.yaml"), `include: b.yaml\n${SMALL}`);
    writeFileSync(
      folder.at("b.yaml"),
      "# more of it\nlisteners:\n  a:\n    timeouts:\n      tunnel-idle: 5\n",
    );
    const { status, stdout } = await run(["check", "-c", folder.at("a.yaml")]);
    strictEqual(status, 2);
    match(stdout, /^\S*b\.yaml:5:20: listeners\.a\.timeouts\.tunnel-idle: /);
  });

  it("no value of a key that is called like a secret is in a message, nor below it", async () => {
    using folder = new Folder();
    const lines = [
      "admin-token: hunter2 hunter2",
      "admin-token: hunter2: lit",
      "admin-tokn: hunter2hunter2hunter2",
      "hmac-key: hunter2hunter2hunter2",
      "admin-token:hunter2",
      "admin-token: [hunter2]",
      "{ admin-token: hunter2, bogus: 1 }",
      "admin-token: hunter2\nadmin-token: hunter2",
    ];
    for (const line of lines) {
      writeFileSync(folder.at("f.yaml"), `${line}\n`);
      for (const format of ["text", "json"]) {
        const { status, stdout, stderr } = await run([
          "check",
          "-c",
          folder.at("f.yaml"),
          "--format",
          format,
        ]);
        strictEqual(status, 2, line);
        ok(!(stdout + stderr).includes("hunter2"), stdout);
      }
    }
  });

  it("nor is a part of what a reference gave", async () => {
    using folder = new Folder();
    const values = [
      "http://bob:hunter2@db:80/",
      "a:1,hunter2:2",
      "user:hunter2password",
      "hunter2:80;foo=1",
      "HUNTER2:80",
    ];
    writeFileSync(folder.at("f.yaml"), SMALL.replace('"127.0.0.1:1"', '["${DB}"]'));
    for (const value of values) {
      const { stdout } = await run(["check", "-c", folder.at("f.yaml")], {
        command: ["env", `DB=${value}`, EXECUTABLE],
      });
      ok(!/hunter2/i.test(stdout) && stdout.includes("${DB}"), stdout);
    }
  });

  it("expressions are compiled", async () => {
    using folder = new Folder();
    writeFileSync(
      folder.at("f.yaml"),
      SMALL.replace('"127.0.0.1:1"', '"127.0.0.1:1", health: { send: x, expect: "/(/" }'),
    );
    const { status, stdout } = await run(["check", "-c", folder.at("f.yaml")]);
    strictEqual(status, 2);
    match(stdout, /at byte 1 of the expression: missing closing parenthesis/);
  });
});

describe("a configuration from several places", () => {
  it("files by pattern, variables, secrets from files: it runs, and nobody hears the secret", async () => {
    using folder = new Folder();
    await using origin = await HttpOrigin.listen(() => answer("well"));
    mkdirSync(folder.at("conf.d"));
    writeFileSync(folder.at("token"), "a-token-of-the-tests\n");
    const port = await freePort();
    writeFileSync(
      folder.at("main.yaml"),
      `include: conf.d/*.yaml\nadmin: http://127.0.0.1:${port}\nadmin-token: \${file:${
        folder.at("token")
      }}\n`,
    );
    writeFileSync(
      folder.at("conf.d/web.yaml"),
      "listeners: { web: { bind: http://127.0.0.1:0, to: app } }\n",
    );
    writeFileSync(folder.at("conf.d/app.yaml"), 'upstreams: { app: { servers: "${APP}", health: off } }\n');
    const argv = ["-c", folder.at("main.yaml")];
    {
      const run = [...command("executable"), "run", ...argv];
      using sluice = await Sluice.startWithoutAdmin(["--admin", `http://127.0.0.1:${port}`], {
        command: ["env", `APP=${origin.address}`, ...run],
      });
      using client = await HttpPeer.connect(sluice.port());
      strictEqual((await client.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")).body.toString(), "well");
      const ask = async (token: string) => {
        const headers = { authorization: `Bearer ${token}` };
        return (await fetch(`http://127.0.0.1:${port}/status`, { headers })).status;
      };
      strictEqual(await ask("a-token-of-the-tests"), 200);
      strictEqual(await ask("a-token-of-the-test"), 401);
      ok(!sluice.stderr.includes("a-token-of"), "the log does not have it");
      client[Symbol.dispose]();
      await origin.kill();
    }
    const print = (words: string[]) =>
      run(["print", ...argv, ...words], { command: ["env", `APP=${origin.address}`, EXECUTABLE] });
    const { stdout } = await print(["--origins"]);
    ok(
      stdout.includes(`admin-token: \${file:${folder.at("token")}} # ${folder.at("main.yaml")}:3:14`),
      stdout,
    );
    ok(stdout.includes(`servers: \${APP} # ${folder.at("conf.d/app.yaml")}:1:`), stdout);
    ok(!stdout.includes("a-token-of") && !stdout.includes("include"), stdout);
  });

  it("what a reference gave is in no error", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("secret"), "hush-hush-hush");
    writeFileSync(folder.at("f.yaml"), SMALL.replace("to: u", `to: "\${file:${folder.at("secret")}}"`));
    const { status, stdout, stderr } = await run(["check", "-c", folder.at("f.yaml")]);
    strictEqual(status, 2);
    ok(!(stdout + stderr).includes("hush"), stderr);
    match(stdout, /goes to upstream "\$\{file:/);
  });

  it("nor is it explained", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("secret"), "hush-hush-hush");
    const config = {
      listeners: {
        web: {
          bind: "http://127.0.0.1:8080",
          routes: [{
            headers: { request: { set: { "X-Plain": `<\${file:${folder.at("secret")}}>` } } },
            to: "u",
          }],
        },
      },
      upstreams: { u: { servers: "127.0.0.1:1" } },
    };
    writeFileSync(folder.at("f.yaml"), JSON.stringify(config));
    for (const more of [[], ["--format", "json"]]) {
      const words = ["explain", "-c", folder.at("f.yaml"), "http://127.0.0.1:8080/", ...more];
      const { status, stdout } = await run(words);
      strictEqual(status, 0);
      ok(!stdout.includes("hush") && stdout.includes("X-Plain: <${file:"), stdout);
    }
  });

  it("without the variable nothing starts: status 2", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("f.yaml"), SMALL.replace("127.0.0.1:1", "${NOT_SET_AT_ALL}"));
    const { status, stderr } = await run(["run", "-c", folder.at("f.yaml")]);
    strictEqual(status, 2);
    match(stderr, /f\.yaml:2:\d+: upstreams\.u\.servers: \$\{NOT_SET_AT_ALL\}: there is no such variable/);
  });
});

describe("print, schema, completion, help", () => {
  it("print of a command line is a file that runs the same", async () => {
    using folder = new Folder();
    await using server = await Server.listen(echo);
    const { stdout } = await run([
      "print",
      "--all",
      `tcp://127.0.0.1:0=${server.address}`,
      "--reactors",
      "1",
    ]);
    writeFileSync(folder.at("f.yaml"), stdout);
    const checked = await run(["check", "-c", folder.at("f.yaml")]);
    strictEqual(checked.stdout, "good: 1 listener, 1 upstream, 1 server\n", checked.stderr);
  });

  it("a large configuration is printed whole, into a pipe as well", async () => {
    using folder = new Folder();
    const upstreams = Array.from(
      { length: 12_000 },
      (_, at) => `  upstream-${at}: { servers: ["10.0.0.1:${at + 1}"] }\n`,
    );
    writeFileSync(
      folder.at("f.yaml"),
      SMALL.replace(
        'upstreams: { u: { servers: "127.0.0.1:1" } }',
        `upstreams:\n  u: { servers: "127.0.0.1:1" }\n${upstreams.join("")}`,
      ),
    );
    const { stdout } = await run(["print", "-c", folder.at("f.yaml")]);
    ok(stdout.includes("upstream-11999:") && stdout.endsWith("\n"), `${stdout.length} characters`);
  });

  it("an answer that cannot be written is no success", async () => {
    const { status, stderr } = await run(["-c", `"${EXECUTABLE}" why > /dev/full`], { command: ["sh"] });
    strictEqual(status, 1);
    match(stderr, /cannot write the answer: ENOSPC/);
    strictEqual((await run(["help", "chek"])).status, 2);
  });

  it("print --all of values from elsewhere is a file that check takes", async () => {
    using folder = new Folder();
    writeFileSync(folder.at("f.yaml"), SMALL.replace("127.0.0.1:1", "127.0.0.1:${PT}"));
    const env = { command: ["env", "PT=9", EXECUTABLE] };
    writeFileSync(
      folder.at("g.yaml"),
      (await run(["print", "--all", "-c", folder.at("f.yaml")], env)).stdout,
    );
    const { status, stdout } = await run(["check", "-c", folder.at("g.yaml")], env);
    strictEqual(status, 0, stdout);
  });

  it("schema is JSON, completion a script, and each verb has its help", async () => {
    const schema = JSON.parse((await run(["schema"])).stdout) as { title: string };
    strictEqual(schema.title, "The configuration of Sluice");
    match((await run(["completion", "bash"])).stdout, /complete .*sluice/);
    deepStrictEqual((await run(["completion", "tcsh"])).status, 2);
    for (const words of [["help", "check"], ["check", "--help"]]) {
      const { status, stdout } = await run(words);
      strictEqual(status, 0);
      match(stdout, /^sluice check: /);
    }
    match((await run(["check", "--fromat", "json", "tcp://:0=a:1"])).stdout, /--fromat: unknown flag/);
  });
});
