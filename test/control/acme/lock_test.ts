import { deepEqual, ok, strictEqual } from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Lock, LOCK_HELD_MS } from "../../../src/control/acme/lock.ts";
import { Folder } from "../../support/folder.ts";
import { until, within } from "../../support/waiting.ts";
import { MovableClock } from "./acme_fixture.ts";

/** What the newest generation says. */
function newest(
  folder: string,
): { untilMs: number; pid: number; started: string; host: string; world: string } {
  const last = Math.max(...readdirSync(folder).map(Number));
  return JSON.parse(readFileSync(`${folder}/${last}`, "utf8"));
}

/** A lock file as an instance elsewhere would have it. */
function plant(folder: string, generation: number, facts: Record<string, unknown>): void {
  mkdirSync(folder, { recursive: true });
  const other = { id: "other", pid: 1, started: "1", host: "elsewhere", world: "another boot" };
  writeFileSync(`${folder}/${generation}`, JSON.stringify({ ...other, ...facts }));
}

describe("Lock", () => {
  it("one holds it, until it is given back", async () => {
    using folder = new Folder();
    const clock = new MovableClock(), at = folder.at("a.example");
    const first = await Lock.tryTake(at, clock);
    ok(first !== undefined);
    strictEqual(await Lock.tryTake(at, clock), undefined);
    ok(await first.isHeld());
    await first.release();
    await first.release(); // twice does nothing
    const second = await Lock.tryTake(at, clock);
    ok(second !== undefined);
    deepEqual(readdirSync(at), ["2"], "older generations are removed, nothing unfinished is left");
    writeFileSync(`${at}/.unfinished-of-a-killed-one`, "half");
    utimesSync(`${at}/.unfinished-of-a-killed-one`, 1, 1);
    deepEqual([statSync(at).mode & 0o777, statSync(`${at}/2`).mode & 0o777], [0o700, 0o600]);
    await second.release();
    await (await Lock.tryTake(at, clock))!.release();
    deepEqual(readdirSync(at), ["3"]);
  });

  it("of many who come at once, one gets it, time after time", async () => {
    using folder = new Folder();
    const clock = new MovableClock(), at = folder.at("a.example");
    for (let round = 0; round < 40; round++) {
      const taken = (await Promise.all(Array.from({ length: 8 }, () => Lock.tryTake(at, clock))))
        .filter((lock) => lock !== undefined);
      ok(taken.length <= 1, `round ${round}: ${taken.length} hold it`);
      // Each may have seen another one's generation; then nobody does, and the next round decides.
      await taken[0]?.release();
    }
    ok(Math.max(...readdirSync(at).map(Number)) > 20);
  });

  it("contenders that give back and come again never hold it together", async () => {
    using folder = new Folder();
    const clock = new MovableClock(), at = folder.at("a.example");
    let holders = 0, most = 0, turns = 0;
    const contend = async () => {
      for (let round = 0; round < 25; round++) {
        const lock = await Lock.tryTake(at, clock);
        if (lock === undefined) continue;
        most = Math.max(most, ++holders);
        await Promise.resolve();
        turns++;
        holders--;
        await lock.release();
      }
    };
    await Promise.all(Array.from({ length: 6 }, contend));
    strictEqual(most, 1);
    ok(turns > 0, "somebody has it now and then");
  });

  it("who looked too long ago gets an old generation, and gives it up", async () => {
    using folder = new Folder();
    const clock = new MovableClock();
    plant(folder.path, 5, { untilMs: 0 });
    let looks = 0;
    // Between its look and its taking, others take 6 and give it back, and take 7.
    const slow = {
      nowMs: () => {
        if (++looks === 2) {
          plant(folder.path, 7, { untilMs: clock.nowMs() + LOCK_HELD_MS });
          rmSync(folder.at("5"));
        }
        return clock.nowMs();
      },
      after: () => () => {},
      random: () => 0,
    };
    strictEqual(await Lock.tryTake(folder.path, slow), undefined);
    ok(looks >= 2);
    deepEqual(readdirSync(folder.path), ["7"]);
  });

  it("a sign of life keeps it; without one it is another's after a while, and the first is told", async () => {
    using folder = new Folder();
    const clock = new MovableClock(), at = folder.at("a.example");
    const first = (await Lock.tryTake(at, clock))!;
    const { untilMs } = newest(at);
    clock.jump(30_000);
    await until("a sign of life", () => newest(at).untilMs > untilMs);
    const stopped = new MovableClock(); // the first one's process is stopped: its clock stands
    stopped.jump(clock.nowMs() - stopped.nowMs() + LOCK_HELD_MS + 1_000);
    const second = (await Lock.tryTake(at, stopped))!;
    ok(second !== undefined);
    clock.jump(LOCK_HELD_MS); // it goes on
    await until("the first to hear of it", () => first.lost.aborted);
    await first.release(); // gives nothing back that is not its own
    ok(await second.isHeld());
    strictEqual(await Lock.tryTake(at, stopped), undefined);
    await second.release();
  });

  it("a killed neighbour is not waited for, one on another machine is", async () => {
    using folder = new Folder();
    const clock = new MovableClock(), at = folder.at("a.example");
    const mine = (await Lock.tryTake(folder.at("mine"), clock))!;
    const { host, world } = newest(folder.at("mine"));
    await mine.release();
    const child = spawn("sleep", ["60"], { stdio: "ignore", timeout: 60_000 });
    const stat = readFileSync(`/proc/${child.pid}/stat`, "latin1");
    const started = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    const untilMs = clock.nowMs() + LOCK_HELD_MS;
    plant(at, 4, { pid: child.pid, started, host, world, untilMs });
    strictEqual(await Lock.tryTake(at, clock), undefined, "it lives");
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await within("a child to be gone", gone);
    const lock = (await Lock.tryTake(at, clock))!;
    deepEqual(readdirSync(at), ["5"]);
    await lock.release();
    plant(at, 6, { pid: child.pid, started, host, world: "another boot", untilMs });
    strictEqual(await Lock.tryTake(at, clock), undefined, "that pid means nothing here");
    plant(folder.at("b"), 1, { pid: process.pid, started: "1", host, world, untilMs });
    ok(await Lock.tryTake(folder.at("b"), clock), "another process has that pid by now");
  });

  const stale: [facts: Record<string, unknown>, why: string][] = [
    [{ untilMs: 0 }, "given back"],
    [{ untilMs: Date.now() - 1 }, "its time is over"],
    [{ untilMs: Date.now() + 365 * 24 * 3_600_000 }, "by a clock that was years ahead"],
    [{ untilMs: "soon" }, "no time"],
  ];
  for (const [facts, why] of stale) {
    it(`is taken over: ${why}`, async () => {
      using folder = new Folder();
      plant(folder.path, 9, facts);
      const lock = (await Lock.tryTake(folder.path, new MovableClock()))!;
      deepEqual(readdirSync(folder.path), ["10"]);
      await lock.release();
    });
  }

  it("a file that cannot be read as a lock holds it as long as it is fresh", async () => {
    using folder = new Folder();
    const clock = new MovableClock();
    writeFileSync(folder.at("3"), "{");
    strictEqual(await Lock.tryTake(folder.path, clock), undefined);
    const old = (Date.now() - LOCK_HELD_MS - 1_000) / 1_000;
    utimesSync(folder.at("3"), old, old);
    const lock = (await Lock.tryTake(folder.path, clock))!;
    ok(lock !== undefined);
    await lock.release();
  });
});
