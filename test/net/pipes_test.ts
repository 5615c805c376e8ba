import { notStrictEqual, strictEqual, throws } from "node:assert/strict";
import { beforeEach, it } from "node:test";
import { NONE, PIPE_BYTES, PIPE_BYTES_MIN } from "../../src/base/limits.ts";
import {
  givePipe,
  pipeCapacity,
  pipesCheck,
  pipesClose,
  pipesOpenCount,
  pipesTaken,
  takePipe,
} from "../../src/net/pipes.ts";
import { sys } from "../../src/sys/sys.ts";
import type { FakeKernel, Weather } from "../sim/kernel.ts";
import { openTables, PIPES } from "./tables.ts";

let kernel: FakeKernel, weather: Weather;

beforeEach(() => {
  ({ kernel, weather } = openTables());
});

/** The time that the reactor sees. */
function wait(ms: number): void {
  kernel.clock.advance(kernel.clock.nowMs + ms);
  sys.poll(64, 1, 0);
}

it("an empty pipe is kept open, one with bytes is closed", () => {
  const pipe = takePipe();
  strictEqual(pipeCapacity(pipe), PIPE_BYTES);
  givePipe(pipe, true);
  strictEqual(pipesOpenCount(), 1);
  strictEqual(takePipe(), pipe);
  givePipe(pipe, false);
  strictEqual(pipesOpenCount(), 0);
  strictEqual(sys.held(1, 1), 0);
  pipesCheck();
});

it("there are as many as there are numbers", () => {
  for (let count = 1; count < PIPES; count++) notStrictEqual(takePipe(), NONE);
  strictEqual(takePipe(), NONE);
  strictEqual(pipesTaken(), PIPES - 1);
  pipesCheck();
});

it("after a failure the kernel is not asked again for a second", () => {
  weather.fds = kernel.fdCount + 1;
  strictEqual(takePipe(), NONE);
  weather.fds = 100;
  wait(999);
  strictEqual(takePipe(), NONE);
  wait(2);
  notStrictEqual(takePipe(), NONE);
});

it("a pipe too small for a leftover is closed again", () => {
  weather.pipeTrouble = 1;
  const before = kernel.fdCount;
  for (let count = 0; count < 20; count++) {
    const pipe = takePipe();
    if (pipe !== NONE) {
      strictEqual(pipeCapacity(pipe) >= PIPE_BYTES_MIN, true);
      givePipe(pipe, false);
    }
    strictEqual(kernel.fdCount, before);
    wait(2_000);
  }
  pipesCheck();
});

it("a reactor that ends leaves none open", () => {
  const pipes = [takePipe(), takePipe()];
  for (const pipe of pipes) givePipe(pipe, true);
  pipesClose();
  strictEqual(sys.held(1, 1), 0);
  pipesCheck();
});

it("a pipe that is not open is not given back", () => {
  throws(() => givePipe(1, true), { name: "TableError" });
});
