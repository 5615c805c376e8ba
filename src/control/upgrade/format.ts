// What one process leaves to the next, as bytes of a sealed memfd. All integers are little endian:
//   8 bytes  "SLUICEUP"
//   u32      the format's number, FORMAT
//   u32      how many sections follow; of each: u32 its kind, u32 its bytes, its bytes, padded to a multiple of 8
// A kind that the reader does not know is skipped; one that is missing is as if it had nothing to say. So something new
// is a new kind; the format has another number only where an old reader would misunderstand what it knows. The process
// that is started says in its first message which numbers it reads, and the other one chooses (channel.ts).

/** The format that is written. */
export const FORMAT = 1;
/** The oldest that is read. */
export const FORMAT_OLDEST = 1;

/** Kinds of sections. */
export const enum Section {
  /** JSON: sockets, verdicts, keys, what an operator said (state.ts). */
  Control = 1,
  /** JSON: the names that the rows of sessions have numbers of (sessions.ts). */
  Names = 2,
  /** Doubles: rows of shared/handed_flows.ts. */
  Sessions = 3,
}

const MAGIC = new TextEncoder().encode("SLUICEUP");
const HEAD_BYTES = 16;
const SECTION_HEAD_BYTES = 8;
/** More than this is no state of ours. */
const SECTIONS_MAX = 64;

/** It is none, or of a format that is not known. */
export class FormatError extends Error {
  override name = "FormatError";
}

export function encodeState(sections: ReadonlyMap<Section, Uint8Array>): Uint8Array {
  let bytes = HEAD_BYTES;
  for (const [, content] of sections) bytes += SECTION_HEAD_BYTES + padded(content.length);
  const state = new Uint8Array(bytes), view = new DataView(state.buffer);
  state.set(MAGIC);
  view.setUint32(8, FORMAT, true);
  view.setUint32(12, sections.size, true);
  let at = HEAD_BYTES;
  for (const [kind, content] of sections) {
    view.setUint32(at, kind, true);
    view.setUint32(at + 4, content.length, true);
    state.set(content, at + SECTION_HEAD_BYTES);
    at += SECTION_HEAD_BYTES + padded(content.length);
  }
  return state;
}

/** The sections of a state, those of unknown kinds too. @throws FormatError */
export function decodeState(state: Uint8Array): Map<Section, Uint8Array> {
  const view = new DataView(state.buffer, state.byteOffset, state.length);
  if (state.length < HEAD_BYTES || MAGIC.some((byte, at) => state[at] !== byte)) {
    throw new FormatError("it does not begin as a state does");
  }
  const format = view.getUint32(8, true), count = view.getUint32(12, true);
  if (format < FORMAT_OLDEST || format > FORMAT) throw new FormatError(`it is of format ${format}`);
  const sections = new Map<Section, Uint8Array>();
  let at = HEAD_BYTES;
  for (let section = 0; section < count; section++) {
    if (count > SECTIONS_MAX || at + SECTION_HEAD_BYTES > state.length) {
      throw new FormatError("it is cut short");
    }
    const kind: Section = view.getUint32(at, true), bytes = view.getUint32(at + 4, true);
    at += SECTION_HEAD_BYTES;
    if (bytes > state.length - at) throw new FormatError("it is cut short");
    sections.set(kind, state.slice(at, at + bytes));
    at += padded(bytes);
  }
  return sections;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}
