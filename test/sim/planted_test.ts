// Every planted bug is caught, each in a process of its own that runs a copy of the sources with it.
// Bun only: the simulation itself runs on both runtimes, and a bug is the same on both.
import { match, strictEqual } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { plant, PLANTED, type Planted, PLANTED_HTTP, PLANTED_STEADY } from "./planted.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** In this time it was caught, or it hangs; either way nothing is left running. */
const DEADLINE_MS = 50_000;
/** A bug that so many seeds do not find is not found. */
const SEEDS = 1_000;
const CONTROL_SEEDS = 60;

const scratch = mkdtempSync(join(tmpdir(), "sluice-planted-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** A copy of what the simulation runs, with the bug in it, and what its seeds say. */
function runWith(planted: Planted, seeds: number): string {
  const root = mkdtempSync(join(scratch, "bug-"));
  mkdirSync(join(root, "test"));
  for (const folder of ["src", "test/sim", "test/proto"]) {
    cpSync(join(ROOT, folder), join(root, folder), { recursive: true });
  }
  symlinkSync(join(ROOT, "dist"), join(root, "dist"));
  const file = join(root, planted.file);
  writeFileSync(file, plant(readFileSync(file, "utf8"), planted));
  const which = planted.http ? "http" : planted.steady ? "steady" : "tcp";
  const program = [join(root, "test/sim/planted_run.ts"), `${planted.from ?? 1}`, `${seeds}`, which];
  const { stdout, stderr } = spawnSync(process.execPath, program, { encoding: "utf8", timeout: DEADLINE_MS });
  rmSync(root, { recursive: true });
  return stdout.trim() + stderr.slice(-2_000);
}

describe("planted bugs", () => {
  it("a copy with no bug in it survives", () => {
    const nothing = { name: "none", file: "src/proxy/pump.ts", edits: [] };
    strictEqual(runWith(nothing, CONTROL_SEEDS), "survived");
    strictEqual(runWith({ ...nothing, http: true }, CONTROL_SEEDS), "survived");
    strictEqual(runWith({ ...nothing, steady: true }, CONTROL_SEEDS), "survived");
  });

  for (const planted of [...PLANTED, ...PLANTED_HTTP, ...PLANTED_STEADY]) {
    it(planted.name, { timeout: DEADLINE_MS + 10_000 }, () => {
      const verdict = runWith(planted, SEEDS);
      match(verdict, /^caught: /, `not caught: ${verdict}`);
      console.log(`${planted.name}: ${verdict}`);
    });
  }
});
