// What a connection is called, so that it can be closed: the tag of the tables that it is in, its slot there, and the
// slot's generation. The next user of the slot has another generation; a reactor that was replaced, or the next process,
// has tables with another tag.
import type { ClosingRow } from "../../shared/closing.ts";
import type { TableMemory } from "../../shared/tables.ts";
import { type Row, slotOf } from "./row.ts";

const TAG_CHARACTERS = 4;
const DIGITS = 36;
const FORM = /^([0-9a-z]{4})-([0-9]{1,8})-([0-9]{1,10})$/;

const tags = new WeakMap<TableMemory, string>();
const given = new Set<string>();

/** Of a reactor's tables: drawn, so that a process does not take what another one has called for its own. */
export function tagOf(tables: TableMemory): string {
  let tag = tags.get(tables);
  while (tag === undefined || (!tags.has(tables) && given.has(tag))) {
    const [drawn] = crypto.getRandomValues(new Uint32Array(1));
    tag = (drawn % DIGITS ** TAG_CHARACTERS).toString(DIGITS).padStart(TAG_CHARACTERS, "0");
  }
  tags.set(tables, tag);
  given.add(tag);
  return tag;
}

/** `k3f9-17-3` */
export function idOf({ tag, identity }: Pick<Row, "tag" | "identity">): string {
  const { slot, gen } = slotOf(identity);
  return `${tag}-${slot}-${gen}`;
}

/** Undefined: that is the name of no connection. */
export function readId(text: string): ClosingRow & { readonly tag: string } | undefined {
  const [, tag, slot, gen] = FORM.exec(text) ?? [];
  if (tag === undefined || Number(gen) >= 2 ** 32) return undefined;
  return { tag, slot: Number(slot), gen: Number(gen) };
}
