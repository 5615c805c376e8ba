import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { makeHead, Method } from "../../src/proto/head.ts";
import { parseAnswer } from "../../src/proto/http1_head.ts";
import { keepAliveSeconds } from "../../src/proto/keep_alive.ts";
import { ascii } from "../../src/proto/octet.ts";

describe("keepAliveSeconds", () => {
  const cases: [field: string, want: number, why: string][] = [
    ["Keep-Alive: timeout=5", 5, "what node's server says"],
    ["Keep-Alive: timeout=15, max=100", 15, "what Apache says"],
    ["Keep-Alive: max=100, Timeout=30", 30, "in any order, in any case"],
    ["Keep-Alive: max=100", 0, "no timeout"],
    ["Keep-Alive: timeout=", 0, "no number"],
    ["Keep-Alive: timeout=x5", 0, "no number"],
    ["Keep-Alive: timeout=9999999999", 0, "no number anybody means"],
    ["Keep-Alive:", 0, "empty"],
    ["Server: timeout=5", 0, "another field"],
  ];
  it("reads the parameter timeout", () => {
    const head = makeHead();
    for (const [field, want, why] of cases) {
      const bytes = ascii(`HTTP/1.1 200 OK\r\n${field}\r\nContent-Length: 0\r\n\r\n`);
      strictEqual(parseAnswer(bytes, 0, bytes.length, head, Method.Get), bytes.length, why);
      strictEqual(keepAliveSeconds(bytes, head), want, why);
    }
  });
});
