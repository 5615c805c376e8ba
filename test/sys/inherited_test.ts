// ffi/inherited.c through this runtime's FFI, and what control/inherited.ts makes of it: which fds are sockets to
// listen with, what they are told to be, and what they are once they are adopted.
import { deepEqual, equal, match, strictEqual } from "node:assert/strict";
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { ARENA_BYTES, ARENA_SCRATCH } from "../../src/base/limits.ts";
import { encodeAddress, type LiteralAddress } from "../../src/control/config/address.ts";
import { activated, fdsGiven } from "../../src/control/activation.ts";
import { Inherited, inheritedOf, type InheritedSocket } from "../../src/control/inherited.ts";
import { EAGAIN, EBADF, EBUG, EINVAL, EISCONN, ENOTSOCK } from "../../src/sys/errno.ts";
import { libraryPath } from "../../src/sys/library.ts";
import {
  INHERITED_DATAGRAMS,
  INHERITED_SHARED,
  INHERITED_V6ONLY,
  LISTEN_REUSEPORT,
  QUEUE_MOST,
  SocketOption,
  UDP_SHARE,
} from "../../src/sys/symbols.ts";
import { arenaBytes, enterRoom, openLibrary, sys } from "../../src/sys/sys.ts";
import { Folder } from "../support/folder.ts";

const ROOM = 1, SETTINGS = 9;
const folder = new Folder();
const opened: number[] = [];

before(async () => {
  await openLibrary(libraryPath());
  sys.setup();
  strictEqual(sys.room_open(ROOM, 16, 4, ARENA_BYTES), 0);
  enterRoom(ROOM);
});

after(() => {
  for (const listener of opened) sys.listener_close(listener);
});

const ip = (ip: string, port = 0): LiteralAddress => ({
  kind: "ip",
  family: ip.includes(":") ? 6 : 4,
  ip,
  scope: "",
  port,
});
const unix = (path: string): LiteralAddress => ({ kind: "unix", path });

function sockets(): Set<number> {
  return new Set(
    readdirSync("/proc/self/fd").map(Number).filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
      } catch {
        return false;
      }
    }),
  );
}

/** The fd of the socket that `open` makes: what another process would have handed to us. */
function fdOf(open: () => number): number {
  const before = sockets();
  strictEqual(open(), 0);
  const made = [...sockets()].filter((fd) => !before.has(fd));
  strictEqual(made.length, 1);
  return made[0];
}

let last = 0;
function listening(address: LiteralAddress, flags = 0, settings = 0): number {
  return fdOf(() => {
    arenaBytes.set(encodeAddress(address), ARENA_SCRATCH);
    return sys.listen(++last, ARENA_SCRATCH, flags, 8, settings);
  });
}

function bound(address: LiteralAddress, flags = 0): number {
  return fdOf(() => {
    arenaBytes.set(encodeAddress(address), ARENA_SCRATCH);
    return sys.udp_listen(++last, ARENA_SCRATCH, flags);
  });
}

function adopt(fd: number): number {
  strictEqual(sys.listener_adopt(++last, fd), 0);
  opened.push(last);
  return last;
}

const flagsOf = (fd: number) =>
  parseInt(/flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))![1], 8);
const O_NONBLOCK = 0o4000, O_CLOEXEC = 0o2000000;

describe("inherited", () => {
  it("tells where a listening socket of TCP is bound", () => {
    const fd = listening(ip("127.0.0.1")), port = portOf(last);
    strictEqual(sys.inherited(fd, ARENA_SCRATCH), 0);
    deepEqual(inheritedOf(fd), { fd, address: ip("127.0.0.1", port), datagrams: false });
  });

  it("tells what a set of sockets, IPv6 alone and datagrams are", () => {
    strictEqual(sys.inherited(listening(ip("127.0.0.1"), LISTEN_REUSEPORT), ARENA_SCRATCH), INHERITED_SHARED);
    strictEqual(sys.socket_open(SETTINGS), 0);
    strictEqual(sys.socket_set(SETTINGS, SocketOption.V6Only, 1), 0);
    strictEqual(sys.inherited(listening(ip("::"), 0, SETTINGS), ARENA_SCRATCH), INHERITED_V6ONLY);
    strictEqual(sys.inherited(bound(ip("127.0.0.1")), ARENA_SCRATCH), INHERITED_DATAGRAMS);
    const shared = bound(ip("::"), UDP_SHARE), port = portOf(last);
    strictEqual(sys.inherited(shared, ARENA_SCRATCH), INHERITED_DATAGRAMS | INHERITED_SHARED);
    deepEqual(inheritedOf(shared), { fd: shared, address: ip("::", port), datagrams: true });
  });

  it("tells the path of a unix socket", () => {
    const path = folder.at("told.sock"), fd = listening(unix(path));
    deepEqual(inheritedOf(fd), { fd, address: unix(path), datagrams: false });
  });

  it("refuses what is no socket to listen with, and says why", () => {
    const file = openSync("/dev/null", "r");
    strictEqual(sys.inherited(file, ARENA_SCRATCH), -ENOTSOCK);
    strictEqual(inheritedOf(file), "no socket");
    closeSync(file);
    strictEqual(sys.inherited(1_000_000, ARENA_SCRATCH), -EBADF);
    strictEqual(sys.listener_adopt(last + 1, 1_000_000), -EBADF);
    const port = (listening(ip("127.0.0.1")), portOf(last));
    arenaBytes.set(encodeAddress(ip("127.0.0.1", port)), ARENA_SCRATCH);
    const connection = fdOf(() => sys.connect(1, 1, ARENA_SCRATCH, 0) < 0 ? 0 : 1); // in progress
    strictEqual(sys.inherited(connection, ARENA_SCRATCH), -EINVAL);
    match(inheritedOf(connection) as string, /does not listen/);
    arenaBytes.set(encodeAddress(ip("127.0.0.1", port)), ARENA_SCRATCH);
    const flow = fdOf(() => sys.udp_connect(2, 1, ARENA_SCRATCH, -1, 0, 0));
    strictEqual(sys.inherited(flow, ARENA_SCRATCH), -EISCONN);
    sys.close(1, 0), sys.close(2, 0);
  });

  it("breaks its contract out of the arena", () => {
    strictEqual(sys.inherited(0, 0xffff_fff0), -EBUG);
  });
});

describe("listener_adopt", () => {
  it("makes it a listening socket that neither blocks nor is inherited further", () => {
    const fd = listening(ip("127.0.0.1")), port = portOf(last), listener = adopt(fd);
    strictEqual(portOf(listener), port);
    strictEqual(flagsOf(fd) & (O_NONBLOCK | O_CLOEXEC), O_NONBLOCK | O_CLOEXEC);
    strictEqual(sys.accept(listener), -EAGAIN);
    strictEqual(sys.listener_adopt(listener, fd), -EBUG); // it is open
  });

  it("takes datagrams with where they went to", () => {
    const listener = adopt(bound(ip("127.0.0.1")));
    strictEqual(sys.watch(listener, 1), 0);
    strictEqual(sys.accept(listener), -EBUG); // it has no connections
    strictEqual(sys.watch(listener, 0), 0);
  });

  it("leaves a unix path where it is, until it is told that it is ours", () => {
    const path = folder.at("kept.sock"), listener = adopt(listening(unix(path)));
    strictEqual(sys.listener_close(opened.pop()!), 0);
    equal(existsSync(path), true);
    strictEqual(sys.listener_adopt(listener, 1_000_000), -EBADF); // its place is free again
    const other = folder.at("left.sock"), owner = (listening(unix(other)), last);
    strictEqual(sys.listener_path(owner, 0), 0);
    strictEqual(sys.listener_close(owner), 0);
    equal(existsSync(other), true);
  });

  it("removes a path that is ours", () => {
    const path = folder.at("ours.sock"), owner = (listening(unix(path)), last);
    sys.listener_path(owner, 0), sys.listener_path(owner, 1);
    strictEqual(sys.listener_close(owner), 0);
    equal(existsSync(path), false);
  });
});

describe("listener_tune", () => {
  it("changes the backlog and the options of a socket that listens", () => {
    const listener = adopt(listening(ip("127.0.0.1")));
    strictEqual(sys.listener_tune(listener, 4, 0), 0);
    strictEqual(sys.listener_queue(listener, QUEUE_MOST), 4);
    strictEqual(sys.socket_open(SETTINGS), 0);
    strictEqual(sys.socket_set(SETTINGS, SocketOption.KeepAlive, 1), 0);
    strictEqual(sys.listener_tune(listener, 8, SETTINGS), 0);
  });

  it("leaves v6only as it was bound, and says that it is that", () => {
    const listener = adopt(listening(ip("::")));
    strictEqual(sys.socket_open(SETTINGS), 0);
    strictEqual(sys.socket_set(SETTINGS, SocketOption.V6Only, 0), 0);
    strictEqual(sys.listener_tune(listener, 8, SETTINGS), 0); // it is that already
    strictEqual(sys.socket_set(SETTINGS, SocketOption.V6Only, 1), 0);
    strictEqual(sys.listener_tune(listener, 8, SETTINGS), -EINVAL);
    strictEqual(sys.socket_flaw(), SocketOption.V6Only);
  });
});

describe("Inherited", () => {
  const socket = (
    fd: number,
    address: LiteralAddress,
    more: Partial<InheritedSocket> = {},
  ): InheritedSocket => ({
    fd,
    address,
    datagrams: false,
    ...more,
  });
  const fds = (taken: readonly InheritedSocket[]) => taken.map(({ fd }) => fd);

  it("gives each socket of an address once, in their order", () => {
    const inherited = new Inherited([
      socket(3, ip("127.0.0.1", 80)),
      socket(4, ip("::", 80)),
      socket(5, ip("127.0.0.1", 80)),
      socket(6, ip("127.0.0.1", 80), { datagrams: true }),
    ]);
    deepEqual(fds(inherited.take(ip("127.0.0.1", 80), false, 1)), [3]);
    deepEqual(fds(inherited.take(ip("127.0.0.1", 80), false, 9)), [5]);
    deepEqual(fds(inherited.take(ip("127.0.0.1", 80), false, 9)), []);
    deepEqual(fds(inherited.take(ip("127.0.0.1", 80), true, 9)), [6]);
    deepEqual(fds(inherited.take(ip("0.0.0.0", 80), false, 9)), []);
    deepEqual(fds(inherited.left), [4]);
  });

  it("knows paths, and ports that the kernel chose", () => {
    const inherited = new Inherited([
      socket(3, unix("/run/a.sock")),
      socket(4, ip("127.0.0.1", 40_000), { asked: ip("127.0.0.1", 0) }),
    ]);
    deepEqual(fds(inherited.take(unix("/run/b.sock"), false, 9)), []);
    deepEqual(fds(inherited.take(unix("/run/a.sock"), false, 9)), [3]);
    deepEqual(fds(inherited.take(ip("127.0.0.1", 0), false, 9)), [4]);
  });
});

describe("activated", () => {
  const given = { LISTEN_FDS: "2", LISTEN_FDNAMES: "web", LISTEN_PIDFDID: "7", PATH: "/bin" };

  it("takes its variables away, whoever they are for", () => {
    for (const pid of ["12", "13"]) {
      const env: Record<string, string | undefined> = { ...given, LISTEN_PID: pid, LISTEN_FDS: "0" };
      deepEqual(activated(env, 12, unexpected), []);
      deepEqual(env, { PATH: "/bin" });
    }
  });

  it("counts what is meant for this process", () => {
    deepEqual(fdsGiven({ ...given, LISTEN_PID: "12" }, 12, unexpected), { count: 2, names: ["web"] });
    deepEqual(fdsGiven({ ...given, LISTEN_PID: "13" }, 12, unexpected).count, 0);
    deepEqual(fdsGiven({}, 12, unexpected).count, 0);
    const warned: string[] = [], warn = (line: string) => warned.push(line);
    deepEqual(fdsGiven({ LISTEN_PID: "12", LISTEN_FDS: "two" }, 12, warn).count, 0);
    deepEqual(fdsGiven({ LISTEN_PID: "12", LISTEN_FDS: "5000" }, 12, warn).count, 4_096);
    match(warned[0], /^LISTEN_FDS=two is no number of sockets/);
    match(warned[1], /^LISTEN_FDS=5000: only the first 4096/);
  });
});

function unexpected(line: string): void {
  throw new Error(line);
}

function portOf(listener: number): number {
  strictEqual(sys.listener_address(listener, ARENA_SCRATCH), 0);
  return arenaBytes[ARENA_SCRATCH + 2] << 8 | arenaBytes[ARENA_SCRATCH + 3];
}
