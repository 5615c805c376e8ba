import { deepEqual, equal, ok } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { Output, PENDING_BYTES_MAX } from "../../src/control/output.ts";

const LINE = "x".repeat(1023) + "\n";

/** A place whose writes end when the test says so. */
class Slow {
  written = "";
  writes = 0;
  #pending: { bytes: Uint8Array; resolve: (count: number) => void; reject: (error: Error) => void }[] = [];
  readonly output: Output = new Output((bytes) => {
    this.writes++;
    return new Promise((resolve, reject) => this.#pending.push({ bytes: bytes.slice(), resolve, reject }));
  });

  /** Ends the write under way, taking at most `most` bytes; false when there is none. */
  async take(most = Infinity): Promise<boolean> {
    const write = this.#pending.shift();
    if (write === undefined) return false;
    const count = Math.min(most, write.bytes.length);
    this.written += new TextDecoder().decode(write.bytes.subarray(0, count));
    write.resolve(count);
    await settle();
    return true;
  }

  async fail(code: string): Promise<void> {
    this.#pending.shift()?.reject(Object.assign(new Error(code), { code }));
    await settle();
  }
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

test("put keeps at most 1 MiB waiting; what does not fit is dropped and counted", async () => {
  const slow = new Slow();
  const fit = PENDING_BYTES_MAX / LINE.length;
  for (let line = 0; line < fit + 7; line++) slow.output.put(LINE, 1);
  equal(slow.output.droppedLines, 7);
  slow.output.put(LINE + LINE + LINE, 3);
  equal(slow.output.droppedLines, 10, "three lines in one piece");
  while (await slow.take());
  equal(slow.written.length, PENDING_BYTES_MAX, "every line that was taken is written");
  slow.output.put(LINE, 1);
  await slow.take();
  equal(slow.output.droppedLines, 10, "there is room again");
  equal(slow.written.length, PENDING_BYTES_MAX + LINE.length);
});

test("a write is whole lines that a pipe takes in one piece; a longer line goes alone", async () => {
  const slow = new Slow(), long = "y".repeat(5_000) + "\n";
  slow.output.put("first\n", 1);
  for (let line = 0; line < 5; line++) slow.output.put(LINE, 1);
  slow.output.put("short\n", 1);
  slow.output.put(long, 1);
  slow.output.put("last\n", 1);
  const sizes: number[] = [];
  for (let before = 0; await slow.take(); before = slow.written.length) {
    sizes.push(slow.written.length - before);
  }
  deepEqual(sizes, [6, 4 * 1024, 1024 + 6, 5_001, 5]);
});

test("a short write goes on where it ended, with one write under way at a time", async () => {
  const slow = new Slow();
  slow.output.put("one two three\n", 1);
  slow.output.put("four\n", 1);
  await slow.take(4);
  equal(slow.writes, 2);
  await slow.take(3);
  while (await slow.take());
  equal(slow.written, "one two three\nfour\n");
});

test("EAGAIN is tried again; another failure drops what it was about and is told until one goes well", async () => {
  const slow = new Slow();
  slow.output.put("first\n", 1);
  await slow.fail("EAGAIN");
  equal(slow.output.droppedLines, 0);
  await new Promise((resolve) => setTimeout(resolve, 60));
  ok(await slow.take(), "tried again");
  equal(slow.written, "first\n");

  slow.output.put("second\nthird\n", 2);
  await slow.fail("ENOSPC");
  equal(slow.output.droppedLines, 2);
  equal(slow.output.failure, "ENOSPC");
  slow.output.put("fourth\n", 1);
  await slow.take();
  equal(slow.output.failure, undefined);
  equal(slow.written, "first\nfourth\n");
});

test("flush waits until all is written, but not beyond its deadline", async () => {
  const slow = new Slow();
  slow.output.put("text\n", 1);
  const began = performance.now();
  await slow.output.flush(50);
  const waited = performance.now() - began;
  ok(waited >= 45 && waited < 2_000, `waited ${waited} ms`);
  let flushed = false;
  const flush = slow.output.flush(10_000).then(() => flushed = true);
  await settle();
  equal(flushed, false);
  await slow.take();
  await flush;
  equal(slow.written, "text\n");
});

test("standard error is one output, however often it is asked for", () => {
  equal(Output.standard("stderr"), Output.standard("stderr"));
});

test("a stuck standard error makes nobody wait", { timeout: 20_000 }, () => {
  const module = new URL("../../src/control/output.ts", import.meta.url);
  const code = `
    import { Output } from ${JSON.stringify(module.href)};
    const output = Output.standard("stderr");
    for (let line = 0; line < 2_000; line++) output.put("x".repeat(999) + "\\n", 1);
    let ticks = 0;
    setInterval(() => {
      if (++ticks < 10) return;
      console.log("ticks", ticks, "dropped", output.droppedLines);
      process.exit(0);
    }, 10);`;
  const runtime = "Deno" in globalThis ? [process.execPath, "eval", code] : [process.execPath, "-e", code];
  // Its standard error is a pipe that nobody reads for two seconds; its standard output is ours.
  const shell = '{ "$@" 2>&1 1>&3 | sleep 2; } 3>&1';
  const { stdout } = spawnSync("sh", ["-c", shell, "sh", ...runtime], { encoding: "utf8" });
  const dropped = Number(/^ticks 10 dropped (\d+)\n$/.exec(stdout)?.[1]);
  ok(dropped > 900 && dropped < 1_000, stdout);
});
