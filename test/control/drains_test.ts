import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { Directory } from "../../src/control/directory.ts";
import { Drains, readDrainQuestion } from "../../src/control/drains.ts";
import { makeShared, openShared } from "../../src/shared/servers.ts";

const ONE = 11, TWO = 12, OTHER = 13;

/** Two upstreams; the address of server ONE is in both. */
function fill(directory: Directory, numbers: readonly number[] = [ONE, TWO, OTHER]): void {
  directory.begin();
  const server = (number: number, upstream: string, target: string, address: string) => {
    if (!numbers.includes(number)) return;
    directory.add("servers", { number, upstream, target, address, probe: 0, weight: 1, backup: false });
  };
  server(ONE, "app", "app.example:80/base", "10.0.0.1:80");
  server(TWO, "app", "app.example:80/base", "10.0.0.2:80");
  server(OTHER, "db", "10.0.0.1:80", "10.0.0.1:80");
}

function make() {
  const directory = new Directory(), shared = openShared(makeShared());
  fill(directory);
  const drained = () => [ONE, TWO, OTHER].filter((number) => shared.serverDrained[number] === 1);
  return { directory, shared, drains: new Drains(directory, shared), drained };
}

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
    const { drains, drained, shared } = make();
    const done = drains.set({ server, upstream });
    ok(!("problems" in done), why);
    deepEqual(drained(), want, why);
    equal(shared.verdictVersion[0], 1, "reactors look again");
    deepEqual(done.map(({ changed }) => changed), want.map(() => true));
    const again = drains.set({ server, upstream });
    ok(!("problems" in again) && again.every(({ changed }) => !changed));
    equal(shared.verdictVersion[0], 1, "nothing has changed");
    drains.set({ server, upstream, undo: true });
    deepEqual(drained(), [], why);
  }
});

test("who does not exist is refused with what was meant", () => {
  const { drains, drained } = make();
  const said = (server: string, upstream?: string) => {
    const answer = drains.set({ server, upstream });
    ok("problems" in answer);
    return answer.problems.map(({ where, what, remedy }) => `${where}: ${what}; ${remedy}`).join();
  };
  equal(said("10.0.0.9:80"), 'server: there is no server 10.0.0.9:80; did you mean "10.0.0.1:80"?');
  equal(said("elsewhere"), "server: there is no server elsewhere; sluice servers lists them");
  equal(said("10.0.0.2:80", "db"), 'server: there is no server 10.0.0.2:80; did you mean "10.0.0.1:80"?');
  equal(said("10.0.0.1:80", "apps"), 'upstream: there is no upstream apps; did you mean "app"?');
  deepEqual(drained(), []);
});

test("one that leaves and comes back is drained still, under whatever number", () => {
  const { directory, shared, drains, drained } = make();
  drains.set({ server: "10.0.0.2:80" });
  fill(directory, [ONE, OTHER]);
  drains.apply();
  directory.servers.delete(TWO);
  shared.serverDrained[TWO] = 0; // its number was given back
  drains.apply();
  deepEqual(drained(), []);
  fill(directory);
  drains.apply();
  deepEqual(drained(), [TWO]);
});

test("a question is an object with a server", () => {
  deepEqual(readDrainQuestion('{"server":"a:1","upstream":"u","undo":true}'), {
    server: "a:1",
    upstream: "u",
    undo: true,
  });
  const bad: [text: string, what: string][] = [
    ["", "no JSON"],
    ["[]", "no object"],
    ["{}", "no text"],
    ['{"server":""}', "no text"],
    ['{"server":5}', "no text"],
    ['{"server":"a:1","upstream":5}', "no text"],
    ['{"server":"a:1","undo":"yes"}', "neither true nor false"],
    ['{"server":"a:1","un do":1}', "unknown key"],
  ];
  for (const [text, what] of bad) {
    const answer = readDrainQuestion(text);
    ok("problems" in answer, text);
    equal(answer.problems[0].what, what, text);
  }
});
