import { deepEqual, strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { type OpenSocket } from "../../src/control/config/parts.ts";
import { parseRun } from "../../src/control/config/run.ts";
import type { Config } from "../../src/control/config/schema.ts";
import { Departures, type Gone, goneBetween, type Present } from "../../src/control/departures.ts";
import { Directory, type ServerEntry } from "../../src/control/directory.ts";
import { among } from "./config/files.ts";

function configOf(text: string): Config {
  const parsed = parseRun(["run", "-c", "f", "--admin", "off"], among({ f: text }));
  if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}

const WAS = configOf(`
listeners:
  web:
    bind: http://:1
    on-remove: drain 5s
    routes:
      - { match: { path: /a/ }, to: app, on-remove: reset }
      - { match: { path: /b/ }, to: app }
    to: app
  db: { bind: "tcp://:2", to: data }
upstreams:
  app: { servers: ["http://app.example:80/base", 10.0.0.9:80], on-remove: keep }
  data: { servers: 10.0.0.2:80 }
`);

function server(number: number, upstream: string, target: string, address: string): ServerEntry {
  const weights = { weight: 1, configuredWeight: 1, disabled: false, backup: false };
  return { number, upstream, target, address, probe: 0, ...weights };
}

const SERVERS = [
  server(1, "app", "app.example:80/base", "10.0.0.1:80"),
  server(2, "app", "10.0.0.9:80", "10.0.0.9:80"),
  server(3, "data", "10.0.0.2:80", "10.0.0.2:80"),
];
const LISTENERS = [{ number: 1, name: "web", bind: "[::]:1" }, { number: 2, name: "db", bind: "[::]:2" }];
const ROUTES: [number, string][] = [[1, "web#1"], [2, "web#2"], [3, "web"]];

function present(listeners = LISTENERS, servers = SERVERS, routes = ROUTES): Present {
  return {
    listeners: new Map(listeners.map((entry) => [entry.number, entry])),
    servers: new Map(servers.map((entry) => [entry.number, entry])),
    routes: new Map(routes),
  };
}

const told = (gone: readonly Gone[]) =>
  gone.map(({ kind, number, name, policy }) => [kind, number, name, policy.kind]);

describe("goneBetween", () => {
  it("nothing is gone from what is as it was, nor by what comes", () => {
    deepEqual(goneBetween(present(), present(), WAS, WAS), []);
    deepEqual(goneBetween(present([], [], []), present(), WAS, WAS), []);
  });

  it("each goes by the policy that the former configuration had for it", () => {
    const is = configOf(
      'listeners: { db: { bind: "tcp://:2", to: data, on-remove: reset } }\n' +
        "upstreams: { data: { servers: 10.0.0.7:80 } }\n",
    );
    deepEqual(told(goneBetween(present(), present([LISTENERS[1]], [], []), WAS, is)), [
      ["listeners", 1, "web ([::]:1)", "drain"],
      ["servers", 1, "10.0.0.1:80 of app", "keep"],
      ["servers", 2, "10.0.0.9:80 of app", "keep"],
      ["servers", 3, "10.0.0.2:80 of data", "drain"],
      ["routes", 1, "web#1", "reset"],
      ["routes", 2, "web#2", "drain"],
      ["routes", 3, "web", "drain"],
    ]);
  });

  it("an address that a name stands for no more is no departure; nor is one where the target is there still", () => {
    const after = present(LISTENERS, SERVERS.slice(1));
    deepEqual(goneBetween(present(), after, WAS, WAS), []);
  });

  it("the same target of another upstream saves nobody", () => {
    const is = configOf(
      'listeners: { db: { bind: "tcp://:2", to: data } }\n' +
        "upstreams: { data: { servers: [10.0.0.2:80, 10.0.0.9:80] } }\n",
    );
    const gone = goneBetween(present(), present(LISTENERS, [SERVERS[2]]), WAS, is);
    deepEqual(gone.map(({ name }) => name), ["10.0.0.1:80 of app", "10.0.0.9:80 of app"]);
  });

  it("a route of a listener that had left before is nobody's", () => {
    const before = present(LISTENERS, SERVERS, [...ROUTES, [8, "former#1"], [9, "former"]]);
    deepEqual(goneBetween(before, present(), WAS, WAS), []);
  });
});

const gone = (kind: Gone["kind"], number: number, policy: Gone["policy"]): Gone => ({
  kind,
  number,
  name: "x",
  policy,
});
const drain = (ms: number): Gone["policy"] => ({ kind: "drain", ms });

describe("what is due", () => {
  it("ends after its time; reset at once; keep never", () => {
    const departures = new Departures(), directory = new Directory();
    strictEqual(departures.isIdle, true);
    departures.schedule(
      [
        gone("servers", 1, drain(500)),
        gone("servers", 2, drain(200)),
        gone("listeners", 3, { kind: "reset" }),
        gone("routes", 4, { kind: "keep" }),
        gone("routes", 5, drain(500)),
      ],
      1_000,
      directory,
    );
    strictEqual(departures.nextMs(1_000), 0);
    const due = (nowMs: number) => {
      const ending = departures.due(nowMs);
      return ending && [ending.listeners, ending.servers, ending.routes].map((numbers) => [...numbers]);
    };
    deepEqual(due(1_000), [[3], [], []]);
    deepEqual([due(1_199), departures.nextMs(1_150)], [undefined, 50]);
    deepEqual(due(1_200), [[], [2], []]);
    deepEqual(departures.nextMs(2_000), 0, "late is now");
    deepEqual(due(2_000), [[], [1], [5]]);
    deepEqual([due(1e9), departures.nextMs(0), departures.isIdle], [undefined, Infinity, true]);
  });

  it("only keep: there is nothing to look after", () => {
    const departures = new Departures();
    departures.schedule([gone("servers", 1, { kind: "keep" })], 0, new Directory());
    strictEqual(departures.isIdle, true);
  });

  it("who is back before then does not end, and has all of its time when it goes once more", () => {
    const departures = new Departures(), directory = new Directory();
    departures.schedule(
      ["listeners", "servers", "routes"].flatMap((kind) =>
        [1, 2].map((number) => gone(kind as Gone["kind"], number, drain(100)))
      ),
      0,
      directory,
    );
    directory.current.listeners.add(1);
    directory.current.servers.add(1);
    directory.routes = new Map([[1, "web#1"]]);
    departures.schedule([], 50, directory);
    const ending = departures.due(100)!;
    deepEqual([ending.listeners, ending.servers, ending.routes].map((numbers) => [...numbers]), [[2], [2], [
      2,
    ]]);
    strictEqual(departures.isIdle, true);
    departures.schedule([gone("servers", 1, drain(100))], 90, new Directory());
    strictEqual(departures.due(100), undefined);
    deepEqual([...departures.due(190)!.servers], [1]);
  });
});

function open(listener: string, bind: string, socket: number): OpenSocket {
  return { listener, bind, bound: `at ${bind}`, port: 1, socket };
}

const web = open("web", "http://:1", 4), db = open("db", "tcp://:2", 5);
const NUMBERS: Record<string, number> = { "web\nhttp://:1": 1, "db\ntcp://:2": 2 };
const numberOf = (key: string): number => NUMBERS[key];

describe("listeners that leave", () => {
  it("stay with where they lead, as it was", () => {
    const departures = new Departures();
    departures.leave([web, db], [db], WAS, numberOf);
    const { sockets, listeners, upstreams } = departures.leaving;
    deepEqual([sockets, Object.keys(listeners), Object.keys(upstreams)], [[web], ["web"], ["app"]]);
    strictEqual(listeners.web, WAS.listeners.web);
    strictEqual(upstreams.app, WAS.upstreams.app);
    deepEqual(departures.view((listener) => listener * 10), [
      { listener: "web", bind: "at http://:1", connections: 10 },
    ]);
    strictEqual(departures.isIdle, false);
  });

  it("go on as they were when the next configuration does not have them either", () => {
    const departures = new Departures();
    departures.leave([web], [db], WAS, numberOf);
    const is = configOf(
      'listeners: { db: { bind: "tcp://:2", to: a } }\nupstreams: { a: { servers: 10.0.0.1:1 } }\n',
    );
    departures.leave([db], [db], is, numberOf);
    strictEqual(departures.leaving.listeners.web, WAS.listeners.web);
  });

  it("are back when they are wanted again", () => {
    const departures = new Departures();
    departures.leave([web], [], WAS, numberOf);
    departures.leave([], [{ ...web, socket: 9 }], WAS, numberOf);
    deepEqual([departures.leaving.sockets, departures.isIdle], [[], true]);
  });

  it("a socket of a name that the former configuration has not is nobody's", () => {
    const departures = new Departures();
    departures.leave([open("unknown", "tcp://:3", 6)], [], WAS, () => 7);
    deepEqual([departures.leaving, departures.isIdle], [{ sockets: [], listeners: {}, upstreams: {} }, true]);
  });

  it("a socket that is another's now, or closed, is none; the listener stays until its last connection", () => {
    const departures = new Departures(), copies = [web, { ...web, socket: 6 }];
    departures.leave([...copies, db], [open("new", "tcp://:1", 4)], WAS, numberOf);
    const sockets = () => departures.leaving.sockets.map(({ listener, socket }) => [listener, socket]);
    deepEqual(sockets(), [["web", -1], ["web", 6], ["db", 5]]);
    departures.closed([copies[1]]);
    deepEqual(sockets(), [["web", -1], ["web", -1], ["db", 5]]);
    const has = new Map([[1, 3], [2, 1]]);
    const left = () => departures.left((listener) => has.get(listener) ?? 0);
    deepEqual(left(), []);
    has.delete(1);
    deepEqual(left().map((those) => those.length), [2]);
    departures.forget(left()[0]);
    deepEqual([sockets(), departures.isIdle], [[["db", 5]], false]);
    has.clear();
    departures.forget(left().flat());
    deepEqual([sockets(), departures.isIdle], [[], true]);
  });
});
