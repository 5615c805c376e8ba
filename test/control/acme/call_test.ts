import { match, ok, rejects, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { readFileSync } from "node:fs";
import { call } from "../../../src/control/acme/call.ts";
import { Pebble } from "../../support/pebble.ts";
import { Server, silent } from "../../support/servers.ts";
import { within } from "../../support/waiting.ts";

const never = new AbortController().signal;

describe("call", () => {
  it("a server is verified: by the CA that was given, by nobody else's, and by its name", async () => {
    await using pebble = await Pebble.start();
    await using other = await Pebble.start();
    const ask = (url: string, ca?: string) =>
      call({ method: "GET", url, ca, deadlineMs: 5_000, signal: never });
    const ca = readFileSync(pebble.ca, "utf8");
    strictEqual((await ask(pebble.directory, ca)).status, 200);
    await rejects(ask(pebble.directory), /GET https:.*(verif|unknown|self-signed|issuer)/i);
    await rejects(
      ask(pebble.directory, readFileSync(other.ca, "utf8")),
      /GET https:.*(verif|unknown|self-signed|signature|issuer)/i,
    );
    const { port, pathname } = new URL(pebble.directory);
    await rejects(ask(`https://localhost.:${port}${pathname}`, ca), /GET https:/);
  });

  it("everything has a deadline: a server that is silent, and one that stops halfway", async () => {
    await using mute = await Server.listen(silent);
    await using half = await Server.listen(async (peer) => {
      await peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    });
    for (const { address } of [mute, half]) {
      const beganMs = performance.now();
      const late = call({ method: "GET", url: `http://${address}/`, deadlineMs: 300, signal: never });
      await rejects(within("an end", late), /no answer within 0\.3 s/);
      ok(performance.now() - beganMs < 5_000);
    }
  });

  it("an answer that ends early is none", async () => {
    await using cut = await Server.listen(async (peer) => {
      await peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
      peer.end();
    });
    await rejects(
      call({ method: "GET", url: `http://${cut.address}/`, deadlineMs: 5_000, signal: never }),
      /GET http/,
    );
  });

  it("what is read is bounded", async () => {
    const server = createServer((_, response) => response.end("x".repeat((1 << 20) + 1)));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const long = call({ method: "GET", url: `http://127.0.0.1:${port}/`, deadlineMs: 5_000, signal: never });
    await rejects(long, /more than 1048576 bytes/);
    server.closeAllConnections();
    await within("a server to close", new Promise((resolve) => server.close(resolve)));
  });

  it("redirects are answers; fields and bodies arrive", async () => {
    let body = "";
    const server = createServer(async (request, response) => {
      for await (const piece of request) body += piece;
      response.writeHead(307, { location: "/elsewhere", "replay-nonce": "abc" });
      response.end("é");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/`;
    const answer = await call({ method: "POST", url, body: "ü", deadlineMs: 5_000, signal: never });
    strictEqual(
      [answer.status, answer.headers.location, answer.headers["replay-nonce"], answer.body, body].join(),
      "307,/elsewhere,abc,é,ü",
    );
    server.closeAllConnections();
    await within("a server to close", new Promise((resolve) => server.close(resolve)));
  });

  it("a signal ends it with its own reason", async () => {
    await using mute = await Server.listen();
    const stopping = new AbortController();
    const waiting = call({
      method: "GET",
      url: `http://${mute.address}/`,
      deadlineMs: 30_000,
      signal: stopping.signal,
    });
    await mute.accept();
    stopping.abort(new Error("we are stopping"));
    await rejects(within("an end", waiting), /we are stopping/);
    await rejects(
      call({ method: "GET", url: `http://${mute.address}/`, deadlineMs: 1, signal: stopping.signal }),
      (error) => {
        match(String(error), /we are stopping/);
        return true;
      },
    );
  });
});
