// Opens the C library with Deno's FFI. Imported only where Deno runs (see sys.ts).
import { type Kernel, type Provider, SYMBOLS } from "./symbols.ts";

export function open(path: string): Provider {
  const declared = Object.fromEntries(
    Object.entries(SYMBOLS).map(([name, [args, result]]) => [
      "sl_" + name,
      {
        parameters: args.map((arg) => arg === "bytes" ? "buffer" : arg),
        result: result === "ptr" ? "pointer" : result,
      },
    ]),
  ) as unknown as Deno.ForeignLibraryInterface;
  const symbols = Deno.dlopen(path, declared).symbols as unknown as Record<string, unknown>;
  const kernel = Object.fromEntries(Object.keys(SYMBOLS).map((name) => [name, symbols["sl_" + name]]));
  const arena = symbols.sl_arena as (room: number) => Deno.PointerValue;
  return {
    kernel: kernel as unknown as Kernel,
    arena(room, bytes) {
      const address = arena(room);
      if (address === null) throw new Error("sys: the room has no arena");
      return Deno.UnsafePointerView.getArrayBuffer(address, bytes) as ArrayBuffer;
    },
  };
}
