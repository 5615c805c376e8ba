import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import {
  copyFileSync,
  mkdirSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { entriesOf, stampOf, WatchedFiles } from "../../../src/control/certificates/watched.ts";
import { Folder } from "../../support/folder.ts";
import { until } from "../../support/waiting.ts";

/** A path in a folder, whose own path has no links. */
function at({ path }: Folder, name = ""): string {
  return `${realpathSync(path)}${name === "" ? "" : `/${name}`}`;
}

/** Entries in and below a folder, in one text. */
function entries(folder: Folder, ...names: string[]): string {
  const base = at(folder);
  return [...entriesOf(names.map((name) => at(folder, name)))]
    .filter(([directory]) => directory.startsWith(base))
    .map(([directory, found]) => `${directory.slice(base.length)}/: ${[...found].sort().join(" ")}`)
    .sort().join("; ");
}

describe("entriesOf", () => {
  it("names the file, and every link on the way to it", () => {
    using folder = new Folder();
    for (const name of ["real/deep", "data1"]) mkdirSync(at(folder, name), { recursive: true });
    for (const name of ["real/deep/c", "real/d", "data1/t"]) writeFileSync(at(folder, name), "");
    symlinkSync("real", at(folder, "link"));
    symlinkSync("../real/deep/c", at(folder, "data1/up"));
    symlinkSync("data1", at(folder, "..data"));
    symlinkSync("..data/t", at(folder, "t"));
    symlinkSync(at(folder, "real/d"), at(folder, "absolute"));
    symlinkSync("loop", at(folder, "loop"));
    symlinkSync("nowhere/at/all", at(folder, "lost"));
    const cases: [names: string[], found: string, why: string][] = [
      [["real/d"], "/real/: d", "a file"],
      [["real/d", "real/deep/c"], "/real/: d; /real/deep/: c", "two files"],
      [["real/../real/./d"], "/real/: d", "a way round"],
      [["link/d"], "/: link; /real/: d", "a directory that is a link"],
      [["t"], "/: ..data t; /data1/: t", "a link through another one, as Kubernetes has them"],
      [["data1/up"], "/data1/: up; /real/deep/: c", "a link to the side"],
      [["link/deep/c", "link/d"], "/: link; /real/: d; /real/deep/: c", "the same link twice"],
      [["absolute"], "/: absolute; /real/: d", "a link from the root on"],
      [["loop"], "/: loop", "a link to itself"],
      [["lost"], "/: lost; /nowhere/at/: all", "what is not there may come"],
      [["real/d/e"], "/real/d/: e", "nor is what is below a file"],
    ];
    for (const [names, found, why] of cases) strictEqual(entries(folder, ...names), found, why);
  });
});

describe("stampOf", () => {
  it("is another one whenever a file was written or replaced", () => {
    using folder = new Folder();
    const file = at(folder, "file"), seen = new Set<string>();
    const isNew = (why: string): void => {
      const stamp = stampOf([file, at(folder, "other")]);
      ok(!seen.has(stamp), why);
      strictEqual(stampOf([file, at(folder, "other")]), stamp);
      seen.add(stamp);
    };
    isNew("not there");
    writeFileSync(file, "one");
    isNew("there");
    writeFileSync(`${file}.new`, "two");
    renameSync(`${file}.new`, file);
    isNew("renamed over");
    writeFileSync(file, "longer");
    isNew("written");
    writeFileSync(at(folder, "other"), "x");
    isNew("the other one");
    rmSync(file);
    mkdirSync(file);
    isNew("a directory");
  });
});

/** Watches files of a folder. */
async function watching(
  folder: Folder,
  names: readonly string[],
  test: (calls: () => number) => Promise<void>,
): Promise<void> {
  let calls = 0;
  const untold: string[] = [];
  const watched = new WatchedFiles(
    names.map((name) => at(folder, name)),
    () => calls++,
    (why) => untold.push(why),
  );
  try {
    await until("the look that finds what changed before", () => calls === 1);
    await test(() => calls);
    deepStrictEqual(untold, []);
  } finally {
    watched.close();
  }
}

describe("WatchedFiles", () => {
  it("tells of what is written, renamed over, and turned", async () => {
    using folder = new Folder();
    mkdirSync(at(folder, "one"));
    mkdirSync(at(folder, "two"));
    for (const name of ["plain", "one/file", "two/file"]) writeFileSync(at(folder, name), "1");
    symlinkSync("one", at(folder, "now"));
    await watching(folder, ["plain", "now/file"], async (calls) => {
      const tells = async (why: string, what: () => void) => {
        const before = calls();
        what();
        await until(why, () => calls() > before);
        await sleep(600); // whatever one look leads to is over
      };
      await tells("what is written", () => writeFileSync(at(folder, "plain"), "2"));
      await tells("what is renamed over", () => {
        writeFileSync(at(folder, "plain.new"), "3");
        renameSync(at(folder, "plain.new"), at(folder, "plain"));
      });
      await tells("a link that is turned", () => {
        symlinkSync("two", at(folder, "now.new"));
        renameSync(at(folder, "now.new"), at(folder, "now"));
      });
      await tells("what is written where it leads now", () => writeFileSync(at(folder, "two/file"), "2"));
    });
  });

  it("is not disturbed by other files of the same directory", async () => {
    using folder = new Folder();
    writeFileSync(at(folder, "file"), "1");
    await watching(folder, ["file"], async (calls) => {
      for (let turn = 0; turn < 20; turn++) {
        writeFileSync(at(folder, "log"), `${turn}`, { flag: "a" });
        copyFileSync(at(folder, "log"), at(folder, `log.${turn}`));
        await sleep(20);
      }
      await sleep(500);
      strictEqual(calls(), 1);
    });
  });

  it("waits for quiet, and not for ever", async () => {
    using folder = new Folder();
    writeFileSync(at(folder, "file"), "1");
    await watching(folder, ["file"], async (calls) => {
      const begun = performance.now();
      const writing = setInterval(() => writeFileSync(at(folder, "file"), `${performance.now()}`), 40);
      try {
        await until("a look while it is written", () => calls() > 1);
        ok(performance.now() - begun > 1_000, "as long as it is not quiet it is waited");
      } finally {
        clearInterval(writing);
      }
      const during = calls();
      writeFileSync(at(folder, "file"), "last");
      await until("a last look", () => calls() > during);
    });
  });

  it("says once what cannot be watched", async () => {
    using folder = new Folder();
    const untold: string[] = [];
    const names = ["gone/a", "missing/b"].map((name) => at(folder, name));
    const watched = new WatchedFiles(names, () => {}, (why) => untold.push(why));
    try {
      await until("a word", () => untold.length > 0);
      await sleep(400); // a look later
    } finally {
      watched.close();
    }
    strictEqual(untold.length, 1);
    ok(/\/(gone|missing)/.test(untold[0]), untold[0]);
  });
});
