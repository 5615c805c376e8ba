// What a route does to the fields of a head, beside what forwarding does: removes, renames, sets and adds
// them. Fields are marked before the head is printed, and what is new is printed behind it. The head lies in
// the bytes that are printed into, which are those of the inputs.
import { NONE } from "../base/limits.ts";
import type { Plan } from "../plan/plan.ts";
import { Edit } from "../plan/routing.ts";
import { FieldAt, type Head } from "../proto/head.ts";
import {
  FULL,
  print,
  printBytes,
  printEnd,
  printLeft,
  printRun,
  printTook,
  text,
} from "../proto/http1_print.ts";
import { lower, Octet } from "../proto/octet.ts";
import { Drop, dropped } from "./edit.ts";
import { type TemplateInputs, writeTemplate } from "./template.ts";

const COLON_SPACE = text(": ");
const CRLF = text("\r\n");

/** Marks the fields that the edits [first, first + count) take away or write anew; of a request also those that
 * a server behind CGI takes for them, with "_" in place of "-". */
export function markEdited(
  held: Plan,
  first: number,
  count: number,
  head: Head,
  bytes: Uint8Array,
  lookalikes: boolean,
): void {
  const { editKind, editNameAt, editNameBytes } = held.routing;
  for (let edit = first; edit < first + count; edit++) {
    if (editKind[edit] === Edit.Add) continue;
    for (let field = 0; field < head.fieldCount; field++) {
      if (dropped[field] !== Drop.Kept) continue;
      if (!isNamed(held, head, bytes, field, editNameAt[edit], editNameBytes[edit], lookalikes)) continue;
      dropped[field] = editKind[edit] === Edit.Rename ? Drop.Renamed : Drop.Dropped;
    }
  }
}

/** Prints what the edits rename, set and add. */
export function printEdited(
  held: Plan,
  first: number,
  count: number,
  head: Head,
  inputs: TemplateInputs,
): void {
  const { editKind, editNameAt, editNameBytes, editToAt, editToBytes, editTemplate } = held.routing;
  for (let edit = first; edit < first + count; edit++) {
    const nameAt = editNameAt[edit], nameBytes = editNameBytes[edit];
    switch (editKind[edit]) {
      case Edit.Rename:
        for (let field = 0; field < head.fieldCount; field++) {
          if (
            dropped[field] !== Drop.Renamed || !isNamed(held, head, inputs.bytes, field, nameAt, nameBytes)
          ) continue;
          const row = field * FieldAt.Length;
          printBytes(held.arenaWords, editToAt[edit], editToAt[edit] + editToBytes[edit]);
          print(COLON_SPACE);
          printRun(head.at + head.fields[row + FieldAt.Value], head.at + head.fields[row + FieldAt.ValueEnd]);
          print(CRLF);
        }
        break;
      case Edit.Set:
      case Edit.Add:
        printBytes(held.arenaWords, nameAt, nameAt + nameBytes);
        print(COLON_SPACE);
        printTemplate(held, editTemplate[edit], inputs);
        print(CRLF);
        break;
    }
  }
}

/** Prints a template's text. @returns NO_HOST when it would be a Host that is none: there is no print then */
export function printTemplate(held: Plan, template: number, inputs: TemplateInputs): number {
  const at = printEnd();
  if (template === NONE || at === FULL) return at;
  const end = writeTemplate(held, template, inputs.bytes, at, at + printLeft(), inputs);
  printTook(end);
  return end;
}

function isNamed(
  held: Plan,
  head: Head,
  bytes: Uint8Array,
  field: number,
  nameAt: number,
  nameBytes: number,
  lookalikes = false,
): boolean {
  const row = field * FieldAt.Length;
  const at = head.at + head.fields[row + FieldAt.Name];
  if (head.at + head.fields[row + FieldAt.NameEnd] - at !== nameBytes) return false;
  for (let byte = 0; byte < nameBytes; byte++) {
    const is = lower(bytes[at + byte]), meant = lower(held.arena[nameAt + byte]);
    if (is !== meant && !(lookalikes && is === Octet.Underscore && meant === Octet.Dash)) return false;
  }
  return true;
}
