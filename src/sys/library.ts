// Where the C library is. In the executable it is embedded, and dlopen needs a file: it is copied to a
// memfd, which works on read-only and noexec disks and leaves nothing behind. When the sources run, it
// is the file that build.ts made. Every thread must open the one path given here: the same file is the
// same instance, whose rooms and fd table all threads share.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { findMissingHere } from "./floor.ts";

/** Inside the executable every module lives under this address. */
const EMBEDDED = "file:///$bunfs/";
const MFD_CLOEXEC = 1;
/** From Linux 6.3, and demanded where vm.memfd_noexec is 2. It forbids execve, not dlopen. */
const MFD_NOEXEC_SEAL = 8;

/** Call once, on the main thread; Workers are told the path. */
export function libraryPath(): string {
  if (import.meta.url.startsWith(EMBEDDED)) return unpack();
  const path = fileURLToPath(new URL("../../dist/libsluice.so", import.meta.url));
  if (!existsSync(path)) throw new Error(`the C library ${path} is missing: run npm run build`);
  return path;
}

/** The fd stays open for as long as the process lives: a Worker started later opens it too. */
function unpack(): string {
  const libc = openLibc();
  const missing = findMissingHere(libc.version);
  if (missing !== "") throw new Error(missing);
  const bytes = readFileSync(fileURLToPath(new URL("./libsluice.so", import.meta.url)));
  const name = new TextEncoder().encode("sluice\0");
  let fd = libc.memfdCreate(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  if (fd < 0) fd = libc.memfdCreate(name, MFD_CLOEXEC);
  if (fd < 0) throw new Error("the C library has no place to go: memfd_create failed");
  writeFileSync(fd, bytes);
  return `/proc/self/fd/${fd}`;
}

/** Only the executable comes here, so only Bun does: Deno never sees bun:ffi. */
function openLibc(): { version: string; memfdCreate: (name: Uint8Array, flags: number) => number } {
  const { dlopen } = process.getBuiltinModule("bun:ffi") as typeof import("bun:ffi");
  const { symbols } = dlopen("libc.so.6", {
    gnu_get_libc_version: { args: [], returns: "cstring" },
    memfd_create: { args: ["ptr", "u32"], returns: "i32" },
  });
  return { version: String(symbols.gnu_get_libc_version()), memfdCreate: symbols.memfd_create };
}
