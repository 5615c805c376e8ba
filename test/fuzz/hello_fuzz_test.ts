import { ok } from "node:assert/strict";
import { describe, it } from "node:test";
import { Hello } from "../../src/proto/client_hello.ts";
import { checkHello } from "./hello_check.ts";
import { make } from "./hello_generator.ts";

describe("the reader of hellos, fuzzed (`npm run fuzz-hello` goes on)", () => {
  it("keeps its promises for 10,000 beginnings of connections", () => {
    const counts = [0, 0, 0, 0, 0, 0, 0];
    for (let number = 0; number < 10_000; number++) {
      try {
        counts[checkHello(make(1, number), number)]++;
      } catch (error) {
        throw new Error(`npm run fuzz-hello -- --seed 1 --first ${number} --inputs 1`, { cause: error });
      }
    }
    // A generator that makes nothing but rubbish tests nothing.
    for (const verdict of [Hello.NeedMore, Hello.Found, Hello.Malformed, Hello.BadName]) {
      ok(counts[verdict] > 300, `verdict ${verdict}: ${counts[verdict]}`);
    }
    for (const verdict of [Hello.NotTls, Hello.PlainHttp, Hello.TooLarge]) {
      ok(counts[verdict] > 50, `verdict ${verdict}: ${counts[verdict]}`);
    }
  });
});
