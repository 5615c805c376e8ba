import { deepEqual, ok, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Discovery, hostsAddresses } from "../../src/control/discovery.ts";
import { until } from "../support/waiting.ts";

const target = (name: string) => ({ kind: "name", name, port: 80 }) as const;

/** Answers in turn; the last one for ever. */
function script(...answers: (readonly string[] | Error)[]) {
  let at = 0;
  return () => {
    const answer = answers[Math.min(at++, answers.length - 1)];
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve({ ips: answer, ttlS: 0 });
  };
}

/** A Discovery, and what it told, each awaited by its event. */
function watched(ask: ConstructorParameters<typeof Discovery>[1]) {
  const told: string[] = [];
  let wake = () => {};
  const discovery = new Discovery({
    changed: (name, ips) => (told.push(`${name} ${ips.join()}`), wake()),
    failed: (name, why, keeping) => (told.push(`${name} failed ${why} keeping ${keeping.join()}`), wake()),
  }, ask);
  return { discovery, told, next: () => new Promise<void>((resolve) => wake = resolve) };
}

describe("Discovery", () => {
  it("a literal address is itself", () => {
    const { discovery } = watched(script([]));
    const literal = { kind: "unix", path: "/x" } as const;
    deepEqual(discovery.resolve(literal), [literal]);
  });

  it("each address of a name is a target of its own, with the target's port", async () => {
    const { discovery, told } = watched(script(["10.0.0.2", "10.0.0.1", "10.0.0.1", "::1"]));
    await discovery.start(["a.example"]);
    discovery.stop();
    const found = discovery.resolve(target("a.example"));
    deepEqual(found.map((a) => a.kind === "ip" && `${a.ip} ${a.port}`), [
      "10.0.0.1 80",
      "10.0.0.2 80",
      "::1 80",
    ]);
    deepEqual(told, [], "the first answer is no change");
  });

  it("a name that does not resolve is told once and has no addresses; later it joins", async () => {
    const { discovery, told, next } = watched(
      script(new Error("ENOTFOUND"), new Error("ENOTFOUND"), ["10.0.0.9"]),
    );
    discovery.start(["b.example"]);
    await next();
    deepEqual(discovery.resolve(target("b.example")), []);
    await next();
    discovery.stop();
    deepEqual(told, ["b.example failed ENOTFOUND keeping ", "b.example 10.0.0.9"]);
  });

  it("the last good answer is kept when DNS fails, and a failure is told anew after a recovery", async () => {
    const { discovery, told, next } = watched(script(["10.0.0.1"], new Error("ETIMEOUT")));
    await discovery.start(["c.example"]);
    await next();
    discovery.stop();
    deepEqual(told, ["c.example failed ETIMEOUT keeping 10.0.0.1"]);
    strictEqual(discovery.resolve(target("c.example")).length, 1);
  });
});

describe("Discovery.names", () => {
  it("nothing is known before the first answer", () => {
    const { discovery } = watched(() => new Promise(() => {}));
    discovery.start(["a.example"]);
    discovery.stop();
    const { resolves, sinceMs, answeredAtMs, failure, failures } = discovery.names.get("a.example")!;
    deepEqual([resolves, sinceMs, answeredAtMs, failure, failures], [
      undefined,
      undefined,
      undefined,
      undefined,
      0,
    ]);
  });

  it("a failure is kept with its time and counted; since is when the first in a row came", async () => {
    let asked = 0;
    const { discovery } = watched(() =>
      asked++ === 0 ? Promise.resolve({ ips: ["10.0.0.1"], ttlS: 0 }) : Promise.reject(new Error("ETIMEOUT"))
    );
    const fromMs = Date.now();
    await discovery.start(["c.example"]);
    const good = { ...discovery.names.get("c.example")! };
    deepEqual([good.resolves, good.failures, good.failure], [true, 0, undefined]);
    strictEqual(good.sinceMs, good.answeredAtMs);
    ok(good.sinceMs! >= fromMs && good.sinceMs! <= Date.now());
    const bad = await until("two failures", () => {
      const now = discovery.names.get("c.example")!;
      return now.failures === 2 && now;
    });
    discovery.stop();
    deepEqual([bad.resolves, bad.failure?.why, bad.ips], [false, "ETIMEOUT", ["10.0.0.1"]]);
    strictEqual(bad.answeredAtMs, good.answeredAtMs, "the last good answer");
    ok(bad.sinceMs! > good.sinceMs!);
    ok(bad.failure!.atMs > bad.sinceMs!, "since is of the first failure, failure of the last");
  });

  it("an answer ends the failures, which stay counted", async () => {
    const { discovery, next } = watched(script(new Error("ENOTFOUND"), ["10.0.0.9"]));
    discovery.start(["b.example"]);
    await next();
    await next();
    discovery.stop();
    const { resolves, failures, failure, answeredAtMs, sinceMs } = discovery.names.get("b.example")!;
    deepEqual([resolves, failures, failure?.why], [true, 1, "ENOTFOUND"]);
    strictEqual(sinceMs, answeredAtMs);
  });
});

describe("hostsAddresses", () => {
  const text = "127.0.0.1 localhost Loop # 10.0.0.1 no\n#1.1.1.1 x\n::1\tlocalhost\r\n10.1.1.1 xx x\n";
  const cases: [name: string, want: string[], why: string][] = [
    ["localhost", ["127.0.0.1", "::1"], "every line that names it"],
    ["LOOP", ["127.0.0.1"], "case does not matter"],
    ["no", [], "comments are no names"],
    ["x", ["10.1.1.1"], "an alias; the commented line does not count"],
    ["", [], "nothing is not a name"],
  ];
  for (const [name, want, why] of cases) it(why, () => deepEqual(hostsAddresses(text, name), want));
});
