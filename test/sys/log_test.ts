// The log Worker's calls, through this runtime's FFI, on real fds: shared memory crosses as it is.
import { deepStrictEqual, strictEqual } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, readSync, renameSync, statSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { ADDRESS_BYTES } from "../../src/base/limits.ts";
import { EAGAIN, EBADF, EBUG, ECONNREFUSED, EISDIR, ENOENT, ENXIO, EPIPE } from "../../src/sys/errno.ts";
import { libraryPath } from "../../src/sys/library.ts";
import { FdKind, FdReady } from "../../src/sys/symbols.ts";
import { openLibrary, sys } from "../../src/sys/sys.ts";
import { Folder } from "../support/folder.ts";
import { freePort } from "../support/servers.ts";

const RING_BYTES = 1 << 16;
const NOTHING = new Uint8Array(0);
const bytesOf = (text: string) => new TextEncoder().encode(text);
const pathOf = (path: string) => bytesOf(path + "\0");

/** Shared, and not at the beginning of its buffer: as a ring is. */
const ring = new Uint8Array(new SharedArrayBuffer(RING_BYTES + 128), 128, RING_BYTES);
ring.fill(0x2e);

const folder = new Folder();
before(async () => {
  await openLibrary(libraryPath());
  sys.setup(); // writing to a pipe without reader is an error then, no signal
});
after(() => folder[Symbol.dispose]());

const NONBLOCKING_READER = constants.O_RDONLY | constants.O_NONBLOCK;

function pipe(name: string): { path: string; reader: number; fd: number } {
  const path = folder.at(name);
  execFileSync("mkfifo", [path], { timeout: 5_000 });
  const reader = openSync(path, NONBLOCKING_READER);
  return { path, reader, fd: sys.log_open(pathOf(path), -1) };
}

describe("log_open", () => {
  it("makes a file that others may not read, and appends to it", () => {
    const path = folder.at("a.log");
    for (const text of ["one", "two"]) {
      const fd = sys.log_open(pathOf(path), -1);
      ring.set(bytesOf(text));
      strictEqual(sys.log_write(fd, NOTHING, 0, ring, RING_BYTES, 0, 3), 3);
      strictEqual(sys.log_close(fd), 0);
      strictEqual(sys.log_close(fd), -EBADF);
    }
    strictEqual(readFileSync(path, "utf8"), "onetwo");
    strictEqual(statSync(path).mode & 0o137, 0);
  });

  it("takes the place of an fd, which stays what it was when the file cannot be opened", () => {
    const path = folder.at("b.log");
    const fd = sys.log_open(pathOf(path), -1);
    renameSync(path, `${path}.1`);
    strictEqual(sys.log_open(pathOf(path), fd), fd);
    ring.set(bytesOf("new"));
    sys.log_write(fd, NOTHING, 0, ring, RING_BYTES, 0, 3);
    strictEqual(sys.log_open(pathOf(folder.at("none/b.log")), fd), -ENOENT);
    sys.log_write(fd, NOTHING, 0, ring, RING_BYTES, 0, 3);
    deepStrictEqual([readFileSync(path, "utf8"), readFileSync(`${path}.1`, "utf8")], ["newnew", ""]);
    sys.log_close(fd);
  });

  it("says what is wrong with a path", () => {
    strictEqual(sys.log_open(pathOf(folder.path), -1), -EISDIR);
    const { path, reader, fd } = pipe("unread");
    closeSync(reader);
    strictEqual(sys.log_open(pathOf(path), -1), -ENXIO);
    sys.log_close(fd);
  });
});

describe("log_write", () => {
  it("writes what goes before, and bytes of the ring over its end, in one piece", () => {
    const path = folder.at("c.log");
    const fd = sys.log_open(pathOf(path), -1);
    ring.set(bytesOf("ef"));
    ring.set(bytesOf("bcd"), RING_BYTES - 3);
    strictEqual(sys.log_write(fd, bytesOf("a"), 1, ring, RING_BYTES, RING_BYTES - 3, 5), 6);
    strictEqual(sys.log_write(fd, NOTHING, 0, ring, RING_BYTES, 0, 0), 0);
    strictEqual(readFileSync(path, "utf8"), "abcdef");
    strictEqual(sys.log_write(fd, NOTHING, 0, ring, RING_BYTES, RING_BYTES, 1), -EBUG);
    strictEqual(sys.log_write(fd, NOTHING, 0, ring, RING_BYTES, 0, RING_BYTES + 1), -EBUG);
    sys.log_close(fd);
  });

  it("a pipe that is full says so, and says when it is not", () => {
    const { reader, fd } = pipe("full");
    strictEqual(sys.log_kind(fd), FdKind.Pipe);
    strictEqual(sys.log_ready(fd, 0), FdReady.Writable);
    while (sys.log_write(fd, NOTHING, 0, ring, RING_BYTES, 0, 4_096) > 0);
    strictEqual(sys.log_write(fd, NOTHING, 0, ring, RING_BYTES, 0, 4_096), -EAGAIN);
    const fromMs = performance.now();
    strictEqual(sys.log_ready(fd, 50), 0);
    strictEqual(performance.now() - fromMs >= 45, true);
    readSync(reader, new Uint8Array(8_192));
    strictEqual(sys.log_ready(fd, 5_000), FdReady.Writable);
    closeSync(reader);
    strictEqual(
      sys.log_ready(fd, 5_000) & FdReady.Writable,
      FdReady.Writable,
      "there is an error to be told",
    );
    strictEqual(sys.log_write(fd, NOTHING, 0, ring, RING_BYTES, 0, 1), -EPIPE);
    sys.log_close(fd);
    strictEqual(sys.log_ready(fd, 0), -EBADF);
    strictEqual(sys.log_kind(fd), -EBADF);
  });
});

describe("log_connect", () => {
  const loopback = (port: number) => {
    const record = new Uint8Array(ADDRESS_BYTES);
    record.set([4, 0, port >> 8, port & 0xff, 127, 0, 0, 1]);
    return record;
  };

  it("a port where nobody listens: a stream says so at once, datagrams at the second", async () => {
    const port = await freePort();
    const stream = sys.log_connect(loopback(port), 1);
    if (stream >= 0) {
      strictEqual(sys.log_kind(stream), FdKind.Socket);
      strictEqual(sys.log_ready(stream, 5_000) & FdReady.Writable, FdReady.Writable);
      strictEqual(sys.log_outcome(stream), -ECONNREFUSED);
      sys.log_close(stream);
    } else strictEqual(stream, -ECONNREFUSED);
    const datagrams = sys.log_connect(loopback(port), 0);
    ring.set(bytesOf("lost"));
    strictEqual(sys.log_send(datagrams, bytesOf("head "), 5, ring, RING_BYTES, 0, 4), 9);
    strictEqual(sys.log_send(datagrams, NOTHING, 0, ring, RING_BYTES, 0, 4), -ECONNREFUSED);
    sys.log_close(datagrams);
  });

  it("an address that is none breaks the contract", () => {
    strictEqual(sys.log_connect(new Uint8Array(ADDRESS_BYTES), 0), -EBUG);
  });
});
