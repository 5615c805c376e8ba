// ARCHITECTURE.md prints the legal moves; the tables in the code are what holds. Here they are compared.
import { strictEqual } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { SLOT_NEXT } from "../../src/net/slots.ts";
import { EX_NEXT } from "../../src/proxy/exchanges.ts";

const page = readFileSync(new URL("../../ARCHITECTURE.md", import.meta.url), "utf8");

function picture(names: readonly string[], next: readonly number[]): string {
  const width = Math.max(...names.map((name) => name.length));
  return names.map((name, from) => {
    const to = names.filter((_, state) => next[from] & (1 << state));
    return `${name.padEnd(width)} -> ${to.join(" ")}`;
  }).join("\n");
}

describe("states", () => {
  it("of an exchange are those of the picture", () => {
    const names = [
      "Free",
      "Introduction",
      "Handshake",
      "Head",
      "Queue",
      "Connect",
      "Forward",
      "Answer",
      "Linger",
      "Tunnel",
      "Probe",
      "Done",
    ];
    const drawn = picture(names, EX_NEXT);
    strictEqual(page.includes("```\n" + drawn + "\n```"), true, "ARCHITECTURE.md should have:\n" + drawn);
  });

  it("of a slot are those of the picture", () => {
    const drawn = picture(["Free", "Connecting", "Handshake", "Open", "Idle", "Flow", "Closing"], SLOT_NEXT);
    strictEqual(page.includes("```\n" + drawn + "\n```"), true, "ARCHITECTURE.md should have:\n" + drawn);
  });
});
