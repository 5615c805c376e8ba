// What explain tells of a connection without HTTP: which timeouts hold for it, each once and by whose key, where it
// comes from, and when it waits for a place.
import { deepEqual, equal, match } from "node:assert/strict";
import { before, describe, it } from "node:test";
import { explanationText } from "../../../src/control/explain/text.ts";
import { answerTo, openRoom, worldOf } from "./explain_fixture.ts";

before(openRoom);

const file = (listener: string, upstream: string, servers = "10.0.0.5:5432") => `
listeners: { db: { bind: "tcp://127.0.0.1:5432", to: db${listener} } }
upstreams: { db: { servers: [${servers}]${upstream} } }
`;

async function ask(text: string) {
  return answerTo(await worldOf(text), ["tcp://127.0.0.1:5432"]);
}

describe("explain of a connection without HTTP", () => {
  it("tells the timeouts that hold, and none that nobody has set", async () => {
    const names = async (text: string) => (await ask(text)).timeouts.map(({ name, ms }) => `${name} ${ms}`);
    deepEqual(await names(file("", "")), [
      "connect 3000",
      "tunnel-idle 3600000",
      "write-stall 60000",
      "half-closed 60000",
      "write-stall 60000",
    ]);
    const set = file(", timeouts: { client-idle: 5s, half-closed: 7s }", ", timeouts: { server-idle: 6s }");
    deepEqual(await names(set), [
      "connect 3000",
      "tunnel-idle 3600000",
      "client-idle 5000",
      "write-stall 60000",
      "half-closed 7000",
      "server-idle 6000",
      "write-stall 60000",
    ]);
  });

  it("tells whose write-stall is whose", async () => {
    const text = explanationText(await ask(file("", "")));
    match(text, /write-stall +1m +longest time in which a client takes nothing/);
    match(text, /write-stall +1m +longest time in which a server takes nothing/);
  });

  it("tells where the connection comes from", async () => {
    const from = async (source: string) => {
      const answer = await ask(file("", source));
      return [
        answer.upstream?.source,
        /servers see the connection come from (.*)/.exec(explanationText(answer))?.[1],
      ];
    };
    deepEqual(await from(""), [null, undefined]);
    deepEqual(await from(", source: 10.0.0.9"), ["10.0.0.9", "10.0.0.9"]);
    deepEqual(await from(", source: client"), ["client", "the client's own address"]);
  });

  it("waits for a place where all servers are full", async () => {
    const world = await worldOf(file("", "", '{ address: "10.0.0.5:5432", max-connections: 1 }'));
    const server = world.plan.upstreamMember[0];
    Atomics.store(world.shared.serverInUse, server, 1);
    const answer = answerTo(world, ["tcp://127.0.0.1:5432"]);
    equal(answer.decision.kind, "queue");
    match(answer.decision.text, /^waits for a place: upstream db has no server that takes another/);
    equal(answer.timeouts[0].name, "queue");
  });
});
