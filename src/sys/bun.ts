// Opens the C library with Bun's FFI. Imported only where Bun runs (see sys.ts).
import { dlopen, type Pointer, toArrayBuffer } from "bun:ffi";
import { type Kernel, type Provider, SYMBOLS } from "./symbols.ts";

export function open(path: string): Provider {
  const declared = Object.fromEntries(
    Object.entries(SYMBOLS).map(([name, [args, returns]]) => [
      "sl_" + name,
      { args: args.map((arg) => arg === "bytes" ? "ptr" : arg), returns },
    ]),
  );
  const { symbols } = dlopen(path, declared) as unknown as { symbols: Record<string, unknown> };
  const kernel = Object.fromEntries(Object.keys(SYMBOLS).map((name) => [name, symbols["sl_" + name]]));
  const arena = symbols.sl_arena as (room: number) => Pointer | null;
  return {
    kernel: kernel as unknown as Kernel,
    arena(room, bytes) {
      const address = arena(room);
      if (address === null) throw new Error("sys: the room has no arena");
      return toArrayBuffer(address, 0, bytes) as ArrayBuffer;
    },
  };
}
