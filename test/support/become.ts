// Run by itself, as root, in a network of its own: opens a port that is root's, becomes nobody, opens another, and tries
// to be root again. Prints what came of it as JSON.
import { execFileSync } from "node:child_process";
import { ARENA_SCRATCH, CONTROL_ARENA_BYTES, CONTROL_ROOM } from "../../src/base/limits.ts";
import { encodeAddress } from "../../src/control/config/address.ts";
import { libraryPath } from "../../src/sys/library.ts";
import { arenaBytes, enterRoom, openLibrary, sys } from "../../src/sys/sys.ts";

const NOBODY = 65_534;

function listen(index: number, port: number): number {
  const record = encodeAddress({ kind: "ip", family: 4, ip: "0.0.0.0", scope: "", port });
  arenaBytes.set(record, ARENA_SCRATCH);
  return sys.listen(index, ARENA_SCRATCH, 0, 8, 0);
}

await openLibrary(libraryPath());
sys.setup();
sys.room_open(CONTROL_ROOM, 1, 1, CONTROL_ARENA_BYTES);
enterRoom(CONTROL_ROOM);
const before = listen(0, 80);
const became = sys.become(NOBODY, NOBODY, new Uint8Array(4), 0, 1 << 10);
const uid = process.getuid?.(), port = listen(1, 81);
const root = sys.become(0, 0, new Uint8Array(4), 0, 0);
const status = execFileSync("cat", ["/proc/self/status"], { encoding: "utf8" });
const lines = Object.fromEntries(
  [...status.matchAll(/^(Uid|CapEff):\t(.*)$/gm)].map(([, name, value]) => [name, value]),
);
console.log(JSON.stringify({ before, became, uid, port, root, child: lines }));
process.exit(0);
