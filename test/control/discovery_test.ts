import { deepEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { Discovery, hostsAddresses } from "../../src/control/discovery.ts";

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
