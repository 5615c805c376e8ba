// control/service_manager.ts without a service manager: what is sent, in which order, and when nothing is.
import { deepEqual, equal, match } from "node:assert/strict";
import { describe, it } from "node:test";
import { type Pulse, ServiceManager, watchdogMs } from "../../src/control/service_manager.ts";
import { EAGAIN, ENOENT } from "../../src/sys/errno.ts";
import { until } from "../support/waiting.ts";

const NOTIFY_SOCKET = "/run/notify";

/** What it sends, to a socket that answers in turn as `results` say, and then well. */
function listening(env: Record<string, string>, results: number[] = []) {
  const said: string[] = [], warned: string[] = [];
  const manager = new ServiceManager(
    { NOTIFY_SOCKET, ...env },
    12,
    (line) => warned.push(line),
    (path, text) => {
      equal(new TextDecoder().decode(path), NOTIFY_SOCKET);
      const result = results.shift() ?? 0;
      if (result === 0) said.push(new TextDecoder().decode(text));
      return result;
    },
  );
  return { manager, said, warned };
}

describe("ServiceManager", () => {
  it("says nothing where nobody asked", () => {
    const manager = new ServiceManager({}, 12, unexpected, () => unexpected("sent"));
    equal(manager.isThere, false);
    manager.ready("serving");
    manager.watch(() => unexpected("looked"));
    manager.mainPid(13);
    manager.close();
  });

  it("says assignments, each a line, whatever is in them", () => {
    const { manager, said } = listening({});
    manager.ready("serving\nMAINPID=1");
    manager.stopping("drains", 30_000);
    deepEqual(said, [
      "READY=1\nSTATUS=serving MAINPID=1",
      "STOPPING=1\nEXTEND_TIMEOUT_USEC=45000000\nSTATUS=drains",
    ]);
    manager.close();
  });

  it("says again, in order, what found no room", async () => {
    const { manager, said, warned } = listening({}, [-EAGAIN, -EAGAIN, -EAGAIN, -EAGAIN]);
    manager.ready("one");
    manager.status("two");
    manager.stopping("three");
    deepEqual(said, []);
    await until("all to be said", () => said.length === 3);
    deepEqual(said.map((text) => /STATUS=(\w+)$/.exec(text)?.[1]), ["one", "two", "three"]);
    deepEqual(warned, []);
    manager.close();
  });

  it("warns once", () => {
    const { manager, warned } = listening({}, [-ENOENT, -ENOENT]);
    manager.ready("one");
    manager.status("two");
    equal(warned.length, 1);
    match(warned[0], /NOTIFY_SOCKET="\/run\/notify": nobody listens there$/);
    manager.close();
  });

  it("is silent once another process is the service", async () => {
    const { manager, said } = listening({ WATCHDOG_USEC: "40000" });
    manager.watch(() => []);
    manager.mainPid(77);
    const sent = said.length;
    equal(said.at(-1), "MAINPID=77");
    manager.stopping("drains");
    await new Promise((resolve) => setTimeout(resolve, 100)); // more than twice its watchdog's time
    equal(said.length, sent);
  });

  it("tells the watchdog only what has turned since it was woken", async () => {
    const { manager, said } = listening({ WATCHDOG_USEC: "40000", WATCHDOG_PID: "12" });
    let turns = 0, hangs = false, looks = 0;
    const pulses = (): Pulse[] => {
      looks++;
      return [{ turns, wake: () => hangs || turns++ }, { turns: looks, wake: () => {} }];
    };
    manager.watch(pulses);
    await until("it to be told", () => said.length > 4);
    hangs = true;
    const seen = looks;
    await until("looks to go on", () => looks >= seen + 2);
    const told = said.length;
    await until("looks to go on", () => looks >= seen + 6);
    equal(said.length, told);
    hangs = false;
    await until("it to be told again", () => said.length > told);
    manager.close();
  });
});

describe("watchdogMs", () => {
  it("is that of this process alone", () => {
    const cases: [env: Record<string, string>, ms: number, why: string][] = [
      [{}, 0, "there is none"],
      [{ WATCHDOG_USEC: "30000000" }, 30_000, "for whoever is the service"],
      [{ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "12" }, 30_000, "for us"],
      [{ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "13" }, 0, "for another process"],
      [{ WATCHDOG_USEC: "0" }, 0, "off"],
      [{ WATCHDOG_USEC: "soon" }, 0, "no number"],
      [{ WATCHDOG_USEC: "1" }, 0, "no time at all"],
    ];
    for (const [env, ms, why] of cases) equal(watchdogMs(env, 12), ms, why);
  });
});

function unexpected(what: string): never {
  throw new Error(what);
}
