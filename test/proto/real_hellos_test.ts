// Hellos as clients send them: this runtime's own fetch, and OpenSSL's s_client. A server takes what comes until
// the hello is whole and never answers; each client is ended as soon as it is.
import { deepEqual, ok, strictEqual } from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { describe, it } from "node:test";
import { Hello } from "../../src/proto/client_hello.ts";
import { within } from "../support/waiting.ts";
import { read, type Said } from "./hello_fixture.ts";

/** Captures the first bytes of a connection to 127.0.0.1 that `dial` opens: until the reader has a verdict. */
async function capture(dial: (port: number) => Disposable): Promise<Uint8Array> {
  const sockets = new Set<Socket>();
  const server = createServer();
  const came = new Promise<Uint8Array>((resolve, reject) => {
    server.on("error", reject);
    server.on("connection", (socket) => {
      sockets.add(socket);
      let bytes = new Uint8Array(0);
      socket.on("data", (part: Buffer) => {
        bytes = new Uint8Array(Buffer.concat([bytes, part]));
        if (read(bytes).verdict !== Hello.NeedMore) resolve(bytes);
      });
      socket.on("error", reject);
      socket.on("end", () => reject(new Error(`the client left after ${bytes.length} bytes`)));
    });
  });
  came.catch(() => {}); // told by `within`, or too late to matter
  await within("a server to listen", new Promise<void>((done) => server.listen(0, "127.0.0.1", done)));
  try {
    using _client = dial((server.address() as AddressInfo).port);
    return await within("a hello", came);
  } finally {
    for (const socket of sockets) socket.destroy();
    await within("the server to close", new Promise((done) => server.close(done)));
  }
}

function openssl(...words: readonly string[]): Promise<Uint8Array> {
  return capture((port) => {
    const child = spawn("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...words], {
      stdio: ["pipe", "ignore", "ignore"],
    });
    child.on("error", () => {}); // the deadline tells
    return { [Symbol.dispose]: () => child.kill("SIGKILL") };
  });
}

function fetched(host: string): Promise<Uint8Array> {
  return capture((port) => {
    const stop = new AbortController();
    fetch(`https://${host}:${port}/`, { signal: stop.signal }).catch(() => {}); // it is never answered
    return { [Symbol.dispose]: () => stop.abort() };
  });
}

/** As it came, cut anywhere and cut into other records. */
function check(bytes: Uint8Array): Said {
  const said = read(bytes);
  strictEqual(said.verdict, Hello.Found);
  for (let cut = 0; cut < bytes.length; cut++) {
    const got = read(bytes, cut);
    if (got.verdict !== Hello.NeedMore) deepEqual(got, said, `cut at ${cut}`);
  }
  return said;
}

const recordsOf = (bytes: Uint8Array): number => {
  let count = 0;
  for (let at = 0; at < bytes.length; at += 5 + (bytes[at + 3] << 8 | bytes[at + 4])) count++;
  return count;
};

describe("readHello, of OpenSSL's s_client", () => {
  it("a name in capitals, two protocols, TLS 1.3", async () => {
    const said = check(await openssl("-servername", "Shop.A.Example", "-alpn", "h2,http/1.1"));
    deepEqual([said.name, said.alpn, said.version], ["shop.a.example", ["h2", "http/1.1"], 0x0304]);
  });

  it("no name", async () => {
    const said = check(await openssl("-noservername"));
    deepEqual([said.name, said.alpn], ["", []]);
  });

  it("TLS 1.2 alone", async () => {
    const said = check(await openssl("-tls1_2", "-servername", "old.example"));
    deepEqual([said.name, said.version], ["old.example", 0x0303]);
  });

  it("in records of 512 bytes, behind 300 protocols", async () => {
    const names = Array.from({ length: 300 }, (_, index) => `protocol-${index}`);
    const bytes = await openssl("-max_send_frag", "512", "-servername", "cut.example", "-alpn", names.join());
    ok(recordsOf(bytes) > 4, `${recordsOf(bytes)} records`);
    const said = check(bytes);
    deepEqual([said.name, said.alpn], ["cut.example", names]);
  });

  it("an address for a name, which s_client sends when told to", async () => {
    const bytes = await openssl("-servername", "192.0.2.1");
    strictEqual(read(bytes).verdict, Hello.BadName);
  });

  const groups = ["X25519MLKEM768", "SecP256r1MLKEM768", "P-521"].filter(hasGroup);
  for (const group of groups) {
    it(`keys of ${group}`, async () => {
      const said = check(await openssl("-groups", group, "-servername", "keys.example"));
      deepEqual([said.name, said.version], ["keys.example", 0x0304]);
    });
  }

  /** Whether this OpenSSL has it; every one has P-521. */
  function hasGroup(group: string): boolean {
    try {
      execFileSync("openssl", ["s_client", "-groups", group, "-connect", "127.0.0.1:1"], {
        stdio: ["ignore", "ignore", "pipe"],
        timeout: 10_000,
      });
    } catch (error) {
      const { stderr } = error as { stderr?: Buffer };
      return !/groups|curves/i.test(stderr?.toString() ?? "");
    }
    return true;
  }
});

describe("readHello, of this runtime's fetch", () => {
  it("a name", async () => {
    const said = check(await fetched("localhost"));
    strictEqual(said.name, "localhost");
    ok(said.alpn.includes("http/1.1"), said.alpn.join());
    strictEqual(said.version, 0x0304);
  });

  it("an address asks for no name", async () => {
    const said = check(await fetched("127.0.0.1"));
    strictEqual(said.name, "");
  });
});
