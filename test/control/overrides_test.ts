import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { Directory } from "../../src/control/directory.ts";
import { type Changed, Overrides, OVERRIDES_MAX, type ServerChange } from "../../src/control/overrides.ts";
import { makeShared, openShared } from "../../src/shared/servers.ts";
import { keptLog } from "./sight_fixture.ts";

const ONE = 11, TWO = 12, OTHER = 13;
const ALL = [ONE, TWO, OTHER];

/** Two upstreams; the address of server ONE is in both. A compiled generation has the weights that `overrides` gives. */
function fill(
  directory: Directory,
  overrides: Overrides | undefined,
  { numbers = ALL, configured = 1 }: { readonly numbers?: readonly number[]; readonly configured?: number } =
    {},
): void {
  directory.begin();
  const server = (number: number, upstream: string, target: string, address: string) => {
    if (!numbers.includes(number)) return;
    const key = { upstream, target, address };
    directory.add("servers", {
      ...key,
      number,
      probe: 0,
      weight: overrides?.weightOf(key, configured) ?? configured,
      configuredWeight: configured,
      disabled: overrides?.isDisabled(key) ?? false,
      backup: false,
    });
  };
  server(ONE, "app", "app.example:80/base", "10.0.0.1:80");
  server(TWO, "app", "app.example:80/base", "10.0.0.2:80");
  server(OTHER, "db", "10.0.0.1:80", "10.0.0.1:80");
}

function make({ configured = 1 } = {}) {
  const directory = new Directory(), shared = openShared(makeShared()), { log, kept } = keptLog();
  const world = { directory, shared, log, kept, compiled: 0, opened: 0 };
  const overrides: Overrides = new Overrides({
    directory,
    shared,
    log,
    clockMs: () => 5_000,
    opened: () => world.opened++,
    changed: () => {
      world.compiled++;
      fill(directory, overrides, { configured });
      overrides.apply();
    },
  });
  fill(directory, overrides, { configured });
  const closed = () => ALL.filter((number) => shared.serverDrained[number] === 1);
  const change = (server: string, change: ServerChange, upstream?: string): Changed[] => {
    const done = overrides.change({ server, upstream }, change);
    ok(!("problems" in done));
    return done;
  };
  const weights = () => ALL.map((number) => directory.servers.get(number)?.weight);
  return Object.assign(world, { overrides, closed, change, weights });
}

const DRAIN: ServerChange = { kind: "drain", undo: false };
const UNDRAIN: ServerChange = { kind: "drain", undo: true };
const DISABLE: ServerChange = { kind: "disable" };
const ENABLE: ServerChange = { kind: "enable" };
const weight = (weight: number | undefined): ServerChange => ({ kind: "weight", weight });

test("a server is meant by its address, its target, or its host, in every upstream or in one", () => {
  const cases: [server: string, upstream: string | undefined, want: number[], why: string][] = [
    ["10.0.0.2:80", undefined, [TWO], "an address"],
    ["10.0.0.1:80", undefined, [ONE, OTHER], "in every upstream that has it"],
    ["10.0.0.1:80", "db", [OTHER], "in one"],
    ["10.0.0.1", undefined, [ONE, OTHER], "a whole machine"],
    ["app.example:80/base", undefined, [ONE, TWO], "as it is configured"],
    ["app.example", undefined, [ONE, TWO], "a name alone"],
  ];
  for (const [server, upstream, want, why] of cases) {
    const world = make(), { change, closed, shared } = world;
    const done = change(server, DRAIN, upstream);
    deepEqual(closed(), want, why);
    equal(shared.verdictVersion[0], 1, "reactors look again");
    ok(done.every(({ before, after }) => !before.drained && after.drained), why);
    ok(change(server, DRAIN, upstream).every(({ before, after }) => before.drained && after.drained));
    equal(shared.verdictVersion[0], 1, "nothing has changed");
    change(server, UNDRAIN, upstream);
    deepEqual(closed(), [], why);
    equal(world.compiled, 0, "no Plan for what reactors see at once");
  }
});

test("what is said of a server adds up, and is undone each by its own", () => {
  const cases: [changes: ServerChange[], closed: boolean, disabled: boolean, weight: number, why: string][] =
    [
      [[], false, false, 1, "nothing"],
      [[DRAIN], true, false, 1, "drained"],
      [[DISABLE], true, true, 1, "disabled"],
      [[DRAIN, UNDRAIN], false, false, 1, "and back"],
      [[DRAIN, DISABLE, UNDRAIN], true, true, 1, "undoing a drain enables nothing"],
      [[DISABLE, DRAIN, ENABLE], false, false, 1, "enable undoes both"],
      [[DRAIN, ENABLE], false, false, 1, "enable undoes a drain alone"],
      [[weight(7)], false, false, 7, "a weight"],
      [[weight(0)], false, false, 0, "none"],
      [[weight(7), weight(undefined)], false, false, 1, "as configured"],
      [[weight(7), DISABLE, ENABLE], false, false, 7, "enable leaves the weight"],
      [[DISABLE, weight(3)], true, true, 3, "a weight enables nothing"],
      [[weight(1)], false, false, 1, "that it has anyhow"],
    ];
  for (const [changes, isClosed, isDisabled, want, why] of cases) {
    const { change, closed, directory } = make();
    for (const each of changes) change("10.0.0.2:80", each);
    deepEqual(closed(), isClosed ? [TWO] : [], why);
    const { disabled, weight, configuredWeight } = directory.servers.get(TWO)!;
    deepEqual([disabled, weight, configuredWeight], [isDisabled, want, 1], why);
  }
});

test("a Plan is compiled for weights and for who is checked, and for nothing that was so before", () => {
  const world = make();
  const cases: [change: ServerChange, compiled: number][] = [
    [DRAIN, 0],
    [weight(3), 1],
    [weight(3), 1],
    [DISABLE, 2],
    [DISABLE, 2],
    [UNDRAIN, 2],
    [ENABLE, 3],
    [weight(undefined), 4],
  ];
  for (const [change, compiled] of cases) {
    world.change("10.0.0.2:80", change);
    equal(world.compiled, compiled, change.kind);
  }
  world.change("app.example", weight(9));
  equal(world.compiled, 5, "one for all that are meant");
});

test("one that was disabled comes back slowly, one that was drained at once", () => {
  const world = make(), { change, shared } = world;
  change("10.0.0.2:80", DRAIN);
  change("10.0.0.2:80", UNDRAIN);
  equal(shared.serverUpMs[TWO], 0);
  equal(world.opened, 1, "who waits looks for a place");
  change("10.0.0.2:80", DISABLE);
  equal(shared.serverUpMs[TWO], 0);
  change("10.0.0.2:80", ENABLE);
  equal(shared.serverUpMs[TWO], 5_000);
});

test("who does not exist is refused with what was meant", () => {
  const { overrides, closed } = make();
  const said = (server: string, upstream?: string) => {
    const answer = overrides.change({ server, upstream }, DRAIN);
    ok("problems" in answer);
    return answer.problems.map(({ where, what, remedy }) => `${where}: ${what}; ${remedy}`).join();
  };
  equal(said("10.0.0.9:80"), 'server: there is no server 10.0.0.9:80; did you mean "10.0.0.1:80"?');
  equal(said("elsewhere"), "server: there is no server elsewhere; sluice servers lists them");
  equal(said("10.0.0.2:80", "db"), 'server: there is no server 10.0.0.2:80; did you mean "10.0.0.1:80"?');
  equal(said("10.0.0.1:80", "apps"), 'upstream: there is no upstream apps; did you mean "app"?');
  deepEqual(closed(), []);
});

test("one that leaves and comes back is what it was, under whatever number", () => {
  const { directory, shared, overrides, change, closed, weights } = make();
  change("10.0.0.2:80", DRAIN);
  change("10.0.0.2:80", weight(4));
  fill(directory, overrides, { numbers: [ONE, OTHER] });
  overrides.apply();
  directory.servers.delete(TWO);
  shared.serverDrained[TWO] = 0; // its number was given back
  overrides.apply();
  deepEqual(closed(), []);
  fill(directory, overrides);
  overrides.apply();
  deepEqual(closed(), [TWO]);
  deepEqual(weights(), [1, 4, 1]);
});

test("a weight holds until the configuration changes that very value, which is told; a drain goes on", async () => {
  const { directory, overrides, change, closed, weights, kept } = make();
  change("10.0.0.2:80", weight(4));
  change("10.0.0.2:80", DRAIN);
  fill(directory, overrides); // the same again
  overrides.apply();
  deepEqual(weights(), [1, 4, 1]);
  equal(kept.text, "");
  fill(directory, overrides, { configured: 2 });
  overrides.apply();
  deepEqual(weights(), [2, 2, 2]);
  deepEqual(closed(), [TWO]);
  await kept.output.flush(1_000);
  match(
    kept.text,
    /overrides: 10\.0\.0\.2:80 of upstream app has weight 2, as configured now: weight 4, set at run time, has ended\n$/,
  );
  fill(directory, overrides);
  overrides.apply();
  deepEqual(weights(), [1, 1, 1], "it has ended for good");
});

test("compiling what is never published ends nothing", () => {
  const { overrides, change } = make(),
    key = { upstream: "app", target: "app.example:80/base", address: "10.0.0.2:80" };
  change("10.0.0.2:80", weight(4));
  equal(overrides.weightOf(key, 2), 2);
  equal(overrides.weightOf(key, 1), 4);
});

test("what was saved is restored in the next process, as far as its configuration is the same", () => {
  const before = make();
  before.change("10.0.0.2:80", weight(4));
  before.change("10.0.0.2:80", DRAIN);
  before.change("10.0.0.1:80", DISABLE, "db");
  before.log.set("debug");
  const saved = JSON.parse(JSON.stringify(before.overrides.saved()));
  const after = make();
  after.overrides.restore(saved);
  equal(after.compiled, 1);
  deepEqual(after.closed(), [TWO, OTHER]);
  deepEqual(after.weights(), [1, 4, 1]);
  equal(after.directory.servers.get(OTHER)!.disabled, true);
  equal(after.log.override?.level, "debug");
  deepEqual(after.overrides.saved(), before.overrides.saved());
  before.change("10.0.0.1:80", ENABLE, "db");
  before.log.set(undefined);
  after.overrides.restore(before.overrides.saved());
  deepEqual(after.closed(), [TWO], "undone meanwhile");
  equal(after.log.override, undefined);
  const other = make({ configured: 3 });
  other.overrides.restore(saved);
  deepEqual(other.weights(), [3, 3, 3]);
  deepEqual(other.closed(), [TWO, OTHER]);
});

test("what is not understood of what was saved is left out", () => {
  const good = { upstream: "app", target: "app.example:80/base", address: "10.0.0.2:80", drained: true };
  const cases: [saved: unknown, closed: number[], why: string][] = [
    [undefined, [], "nothing"],
    [null, [], "null"],
    ["text", [], "a text"],
    [[], [], "a list"],
    [{ servers: "x", log: 5 }, [], "other kinds"],
    [{ servers: [null, 5, {}, { ...good, upstream: 5 }] }, [], "no servers"],
    [{ servers: [{ ...good, later: 1 }], more: 1 }, [TWO], "what a later version adds"],
    [{ servers: [{ ...good, weight: 5_000, replaced: [1] }] }, [TWO], "a weight that there is not"],
    [{ servers: [{ ...good, weight: 5, replaced: "x" }] }, [TWO], "a weight of nothing"],
    [{ servers: [good], log: { level: "loud", replaced: "info" } }, [TWO], "a level that there is not"],
  ];
  for (const [saved, want, why] of cases) {
    const { overrides, closed, weights, log } = make();
    overrides.restore(saved);
    deepEqual(closed(), want, why);
    deepEqual(weights(), [1, 1, 1], why);
    equal(log.override, undefined, why);
  }
});

test("no more is remembered than there is room for: who is gone is forgotten first", () => {
  const { overrides, change, closed } = make();
  const gone = Array.from({ length: OVERRIDES_MAX }, (_, nth) => ({
    upstream: "app",
    target: "gone",
    address: `gone:${nth}`,
    drained: true,
    disabled: false,
    replaced: [],
  }));
  overrides.restore({ servers: gone });
  change("10.0.0.1:80", DRAIN);
  deepEqual(closed(), [ONE, OTHER]);
  equal(overrides.saved().servers.length, OVERRIDES_MAX);
  ok(!overrides.of(gone[0]).drained);
  ok(overrides.of(gone[2]).drained);
});
