// The memory in which state goes from one process to the next: what was written is read, what is not a state is refused,
// and what a later version adds is passed over.
import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { describe, it } from "node:test";
import {
  decodeState,
  encodeState,
  FORMAT,
  FormatError,
  type Section,
} from "../../../src/control/upgrade/format.ts";
import { readControlState } from "../../../src/control/upgrade/state.ts";

const sections = new Map<Section, Uint8Array>([
  [1, new TextEncoder().encode('{"a":1}')],
  [3, new Uint8Array(24).fill(7)],
  [99 as Section, new Uint8Array([1])],
]);

describe("decodeState", () => {
  it("reads what encodeState wrote, sections of kinds that it does not know too", () => {
    deepStrictEqual(decodeState(encodeState(sections)), sections);
    deepStrictEqual(decodeState(encodeState(new Map())), new Map());
  });

  it("refuses whatever is cut, or begins or counts otherwise", () => {
    const state = encodeState(sections);
    for (let cut = 0; cut < state.length - 7; cut++) { // the last section is padded
      throws(() => decodeState(state.slice(0, cut)), FormatError, `${cut} bytes`);
    }
    for (
      const [at, byte, why] of [[0, 0, "magic"], [8, FORMAT + 1, "format"], [8, 0, "format"], [
        15,
        255,
        "count",
      ]] as const
    ) {
      const other = state.slice();
      other[at] = byte;
      throws(() => decodeState(other), FormatError, why);
    }
    const long = state.slice();
    new DataView(long.buffer).setUint32(20, 0xffff_fff0, true);
    throws(() => decodeState(long), FormatError, "a length that wraps");
  });
});

describe("readControlState", () => {
  it("takes what it knows, and the rest as nothing", () => {
    const known = {
      version: "1.2.3",
      upgrades: 4,
      servers: [{ upstream: "app", address: "10.0.0.1:80", verdict: 2 }, 7],
    };
    const { version, upgrades, servers, sockets, tickets } = readControlState({
      ...known,
      later: true,
      sockets: "none",
    });
    deepStrictEqual([version, upgrades, sockets, tickets], ["1.2.3", 4, [], undefined]);
    deepStrictEqual(servers, [
      { upstream: "app", address: "10.0.0.1:80", verdict: 2, upMs: 0, latencyMs: 0, latencyAtMs: 0 },
    ]);
    strictEqual(readControlState({}).adminPort, 0);
  });
});
