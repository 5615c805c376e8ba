import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { existsSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Admin, AdminError } from "../../src/control/admin.ts";
import type { Admin as AdminAddress } from "../../src/control/config/schema.ts";
import { unready } from "../../src/control/directory.ts";
import { Verdict } from "../../src/shared/servers.ts";
import { type Fixture, LISTENER, makeFixture, SERVERS } from "./sight_fixture.ts";

const LOOPBACK: AdminAddress = {
  kind: "http",
  address: { kind: "ip", family: 4, ip: "127.0.0.1", scope: "", port: 0 },
  byDefault: false,
};

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

function unixAddress(path: string, byDefault = false): AdminAddress {
  return { kind: "unix", address: { kind: "unix", path }, byDefault };
}

function ask(
  admin: Admin,
  path: string,
  options: { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string } =
    {},
): Promise<Answer> {
  const { method = "GET", headers = {}, body = "" } = options;
  const where = admin.where.startsWith("unix:")
    ? { socketPath: admin.where.slice("unix:".length) }
    : { host: "127.0.0.1", port: portOf(admin) };
  return new Promise((resolve, reject) => {
    const sent = request({ ...where, path, method, headers, agent: false }, (answer) => {
      let text = "";
      answer.setEncoding("utf8");
      answer.on("data", (part: string) => text += part);
      answer.on(
        "end",
        () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body: text }),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

function portOf(admin: Admin): number {
  return Number(new URL(admin.where).port);
}

/** Runs `use` with an open API, and closes it. */
async function withAdmin(
  use: (admin: Admin, fixture: Fixture) => Promise<void>,
  options: { readonly address?: AdminAddress; readonly token?: string } = {},
): Promise<void> {
  const fixture = makeFixture();
  const { address = LOOPBACK, token } = options;
  const admin = await Admin.open({ admin: address, token: () => token, sight: fixture.sight });
  ok(admin !== undefined);
  try {
    await use(admin, fixture);
  } finally {
    admin.close();
  }
}

async function withDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "sluice-admin-"));
  try {
    await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** What a raw client got until the server closed it, and after how long; fails when it stays open. */
function converse(admin: Admin, bytes: string, deadlineMs: number): Promise<{ text: string; ms: number }> {
  const began = performance.now();
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(portOf(admin), "127.0.0.1", () => socket.write(bytes));
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`still open after ${deadlineMs} ms, with ${JSON.stringify(text)}`));
    }, deadlineMs);
    socket.on("data", (part) => text += part.toString("latin1"));
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve({ text, ms: performance.now() - began });
    });
  });
}

test("GET answers metrics, status, healthz and readyz over TCP", async () => {
  await withAdmin(async (admin) => {
    const metrics = await ask(admin, "/metrics");
    equal(metrics.status, 200);
    equal(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    match(metrics.body, /^sluice_build_info\{/m);
    const status = await ask(admin, "/status");
    equal(status.headers["content-type"], "application/json");
    equal(JSON.parse(status.body).upstreams[0].name, "app");
    equal((await ask(admin, "/healthz")).body, "ok\n");
    equal((await ask(admin, "/readyz")).body, "ready\n");
    equal(status.headers["access-control-allow-origin"], undefined);
    equal(status.headers["cache-control"], "no-store");
  });
});

test("HEAD answers like GET without a body", async () => {
  await withAdmin(async (admin) => {
    for (const path of ["/metrics", "/status", "/healthz"]) {
      const { status, body } = await ask(admin, path, { method: "HEAD" });
      equal(status, 200, path);
      equal(body, "", path);
    }
  });
});

test("other methods are refused with Allow, unknown paths with the known ones", async () => {
  await withAdmin(async (admin) => {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
      const answer = await ask(admin, "/metrics", { method, body: method === "POST" ? "x" : "" });
      equal(answer.status, 405, method);
      equal(answer.headers.allow, "GET, HEAD", method);
    }
    for (const path of ["/", "/metrics/", "/Metrics", "/status/x", "/%2e%2e/etc/passwd", "/constructor"]) {
      const answer = await ask(admin, path);
      equal(answer.status, 404, path);
      for (
        const known of ["/metrics", "/status", "/servers", "/connections", "/explain", "/healthz", "/readyz"]
      ) {
        ok(answer.body.includes(known), path);
      }
    }
  });
});

test("explain waits for the first Plan, and says what is wrong with a question", async () => {
  await withAdmin(async (admin) => {
    deepEqual(
      await ask(admin, "/explain?to=tcp://127.0.0.1:1").then(({ status, body }) => [status, body]),
      [503, "starting: nothing is decided yet\n"],
    );
    const { status, body } = await ask(admin, "/explain?to=ftp://x&from=y");
    equal(status, 400);
    equal(body.split("\n").length, 3, "both of what is wrong, a line each");
  });
});

test("readyz says why not", async () => {
  await withAdmin(async (admin, fixture) => {
    const { serverVerdict } = fixture.sight.shared;
    serverVerdict[SERVERS[0]] = Verdict.Down;
    serverVerdict[SERVERS[1]] = Verdict.Down;
    equal((await ask(admin, "/readyz")).status, 200, "one is unchecked, which counts as up");
    serverVerdict[SERVERS[2]] = Verdict.Down;
    const without = await ask(admin, "/readyz");
    equal(without.status, 503);
    equal(without.body, 'listener "web": upstream "app" takes nothing: all 3 servers are down\n');
    serverVerdict[SERVERS[1]] = Verdict.Up;
    equal((await ask(admin, "/readyz")).status, 200);
    for (const phase of ["starting", "draining"] as const) {
      fixture.phase = phase;
      const { status, body } = await ask(admin, "/readyz");
      equal(status, 503);
      equal(body, `${phase}\n`);
      equal((await ask(admin, "/healthz")).status, 200, "the process works all the same");
    }
  });
});

test("unready names an upstream without any server", () => {
  const { sight } = makeFixture();
  sight.directory.add("upstreams", { number: 2, name: "app", servers: [], names: [] });
  equal(unready(sight).join(), 'listener "web": upstream "app" has no server');
});

test("unready looks at each upstream that a listener leads to", () => {
  const { sight } = makeFixture(), { directory, shared } = sight;
  const OTHER = 40, SPARE = 41;
  const lead = (...upstreams: string[]) =>
    directory.add("listeners", {
      number: LISTENER,
      name: "web",
      bind: "",
      upstreams,
      upstream: upstreams.join(", "),
    });
  directory.add("upstreams", { number: 9, name: "other, app", servers: [OTHER, SPARE], names: [] });
  lead("app", "other, app");
  deepEqual(unready(sight), [], "all of them unchecked");
  shared.serverVerdict[OTHER] = Verdict.Down;
  deepEqual(unready(sight), [], "one of two is left");
  shared.serverVerdict[SPARE] = Verdict.Down;
  deepEqual(unready(sight), ['listener "web": upstream "other, app" takes nothing: all 2 servers are down']);
  lead("app");
  deepEqual(unready(sight), [], "nobody asks for the other");
  lead();
  for (const server of SERVERS) shared.serverVerdict[server] = Verdict.Down;
  deepEqual(unready(sight), [], "it answers by itself");
});

test("a Host that is not this machine's loopback is refused on a loopback port", async () => {
  await withAdmin(async (admin) => {
    for (const host of ["localhost", "LOCALHOST:1", "127.0.0.1", "127.8.9.1:80", "[::1]:9900"]) {
      equal((await ask(admin, "/status", { headers: { host } })).status, 200, host);
    }
    for (
      const host of [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "10.0.0.1",
        "[::2]",
      ]
    ) {
      const { status, body } = await ask(admin, "/status", { headers: { host } });
      equal(status, 403, host);
      ok(!body.includes("10.0.0.1:9001"), host);
    }
  });
});

test("with a token, only those who have it are answered, but for healthz", async () => {
  await withAdmin(async (admin) => {
    const cases: [authorization: string | undefined, status: number, why: string][] = [
      ["Bearer s3cret", 200, "the token"],
      ["bearer s3cret", 200, "schemes know no case (RFC 9110 11.1)"],
      [undefined, 401, "none"],
      ["Bearer", 401, "an empty one"],
      ["Bearer s3cre", 401, "a beginning"],
      ["Bearer s3crets", 401, "more than it"],
      ["Bearer S3CRET", 401, "case matters"],
      ["Basic s3cret", 401, "another scheme"],
      ["s3cret", 401, "no scheme"],
    ];
    for (const [authorization, status, why] of cases) {
      const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
      for (const path of ["/metrics", "/status", "/readyz"]) {
        const answer = await ask(admin, path, { headers });
        equal(answer.status, status, `${why}, ${path}`);
        if (status === 401) match(String(answer.headers["www-authenticate"]), /^Bearer/, why);
      }
      equal((await ask(admin, "/healthz", { headers })).status, 200, why);
      equal((await ask(admin, "/unknown", { headers })).status, status === 200 ? 404 : 401, why);
    }
  }, { token: "s3cret" });
});

test("a slow or a huge request is ended, and others are served meanwhile", { timeout: 30_000 }, async () => {
  await withAdmin(async (admin) => {
    const slow = converse(admin, "GET /healthz HT", 9_000);
    const silent = converse(admin, "", 14_000);
    const huge = await converse(
      admin,
      `GET /healthz HTTP/1.1\r\nHost: localhost\r\nA: ${"a".repeat(20_000)}\r\n\r\n`,
      2_000,
    );
    match(huge.text, /^HTTP\/1\.1 431 /);
    const garbage = await converse(admin, "\x16\x03\x01\x00\xff nonsense\r\n\r\n", 2_000);
    match(garbage.text, /^(HTTP\/1\.1 400 |$)/);
    const post = await converse(
      admin,
      "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\nabc",
      9_000,
    );
    match(post.text, /^HTTP\/1\.1 405 /);
    equal((await ask(admin, "/healthz")).status, 200);
    for (const { text, ms } of await Promise.all([slow, silent])) {
      match(text, /^(HTTP\/1\.1 408 |$)/);
      ok(ms > 3_000, `ended after ${ms} ms`);
    }
    equal((await ask(admin, "/healthz")).status, 200);
  });
});

test("connections are at most 64, and come free again", async () => {
  await withAdmin(async (admin) => {
    const idle: Socket[] = [];
    let closed = 0;
    await Promise.all(Array.from({ length: 80 }, () =>
      new Promise<void>((resolve) => {
        const socket = connect(portOf(admin), "127.0.0.1", resolve);
        socket.on("error", () => {});
        socket.on("close", () => closed++);
        socket.resume();
        idle.push(socket);
      })));
    const end = performance.now() + 3_000;
    while (closed < 16 && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 10));
    equal(closed, 16);
    for (const socket of idle) socket.destroy();
    let status = 0;
    while (status !== 200 && performance.now() < end) {
      status = await ask(admin, "/healthz").then((answer) => answer.status, () => 0);
    }
    equal(status, 200);
  });
});

test("a unix socket is for its owner alone, and goes with the API", async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, "admin.sock");
    await withAdmin(async (admin) => {
      equal(admin.where, `unix:${path}`);
      equal(statSync(path).mode & 0o777, 0o600);
      equal((await ask(admin, "/healthz")).status, 200);
      equal(
        (await ask(admin, "/status", { headers: { host: "anything" } })).status,
        200,
        "no browser comes here",
      );
    }, { address: unixAddress(path) });
    ok(!existsSync(path));
  });
});

test("the socket file of a process that is gone is replaced, that of a living one is not", async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, "admin.sock");
    const living = await listening(path);
    await rejects(withAdmin(async () => {}, { address: unixAddress(path) }), (error: Error) => {
      ok(error instanceof AdminError);
      match(error.message, /another process listens there; choose another path/);
      return true;
    });
    ok(existsSync(path), "the living one's file is untouched");
    living.close();

    // A server that closes takes away the path it was given; under another name its file stays behind.
    const gone = await listening(join(directory, "gone.sock"));
    renameSync(join(directory, "gone.sock"), path);
    await new Promise((resolve) => gone.close(resolve));
    ok(existsSync(path), "a stale file");
    await withAdmin(async (admin) => equal((await ask(admin, "/healthz")).status, 200), {
      address: unixAddress(path),
    });
  });
});

test("a file that is no socket is left alone", async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, "precious");
    writeFileSync(path, "data");
    await rejects(
      withAdmin(async () => {}, { address: unixAddress(path) }),
      /no socket; choose another path/,
    );
    equal(statSync(path).size, 4);
  });
});

test("a default address that cannot be opened is a warning, one that was asked for is an error", async () => {
  const address = "/nonexistent-directory/admin.sock";
  await rejects(withAdmin(async () => {}, { address: unixAddress(address) }), AdminError);
  const { sight, kept } = makeFixture();
  equal(await Admin.open({ admin: unixAddress(address, true), token: () => undefined, sight }), undefined);
  await kept.output.flush(1000);
  match(
    kept.text,
    / warn {2}admin: no admin API: cannot open the admin address unix:\/nonexistent-directory\/admin\.sock: /,
  );
});

test("a port that is taken is an error that says what to do", async () => {
  await withAdmin(async (admin) => {
    const address = { ...LOOPBACK, address: { ...LOOPBACK.address, port: portOf(admin) } } as AdminAddress;
    await rejects(withAdmin(async () => {}, { address }), /in use already; choose another address/);
  });
});

test("close ends at once, with requests open", async () => {
  const { sight } = makeFixture();
  const admin = await Admin.open({ admin: LOOPBACK, token: () => undefined, sight });
  ok(admin !== undefined);
  const open = converse(admin, "GET / HT", 3_000);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const began = performance.now();
  admin.close();
  await open;
  ok(performance.now() - began < 1_000);
  await rejects(ask(admin, "/healthz"));
});

function listening(path: string): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer().listen(path, () => resolve(server));
  });
}
