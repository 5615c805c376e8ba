// Sealed memory: what one process leaves to the next travels as a descriptor of it.
import { errnoName } from "../../sys/errno.ts";
import { sys } from "../../sys/sys.ts";
import { ChannelError } from "./channel.ts";
import { decodeState, encodeState, FormatError, type Section } from "./format.ts";

/** @returns its descriptor, to be closed once it was sent. @throws ChannelError */
export function makeState(sections: ReadonlyMap<Section, Uint8Array>): number {
  const bytes = encodeState(sections), fd = sys.memfd_make(bytes, bytes.length);
  if (fd < 0) throw new ChannelError(`there is no memory for the state: ${errnoName(-fd)}`);
  return fd;
}

/** Reads it and closes the descriptor. @throws ChannelError */
export function readState(fd: number | undefined): Map<Section, Uint8Array> {
  if (fd === undefined) throw new ChannelError("no state came with it");
  try {
    const length = sys.memfd_bytes(fd);
    if (length <= 0) throw new ChannelError(`the state is not sealed memory: ${errnoName(-length)}`);
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const read = sys.memfd_read(fd, bytes.subarray(at), length - at, at);
      if (read <= 0) throw new ChannelError(`the state cannot be read: ${errnoName(-read)}`);
      at += read;
    }
    return decodeState(bytes);
  } catch (error) {
    if (error instanceof FormatError) throw new ChannelError(`the state is not understood: ${error.message}`);
    throw error;
  } finally {
    sys.handover_close(fd);
  }
}

export function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** What a section of JSON says; an empty object where there is none. @throws ChannelError */
export function jsonOf(section: Uint8Array | undefined): Readonly<Record<string, unknown>> {
  if (section === undefined) return {};
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(section));
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // no JSON
  }
  throw new ChannelError("the state is not understood: a section is no JSON");
}
