// The part of the Plan by which TCP listeners choose an upstream by the host name that a TLS client asks for
// (SNI), and by the protocols that it offers (ALPN). Filled by control/config/compile_sni.ts, read by policy/sni.ts.
// Row 0 of every table is nobody.
import { assert } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import type { Part, Sizes } from "./part.ts";

export const SNI = {
  tables: ["listeners", "choosers", "names", "choices"],
  columns: {
    listenerChooser: "listeners", // NONE: it does not choose by name; of listener NONE: hosts that are issued for
    // A chooser: a hash table of names, and what is chosen when none of them fits.
    chooserFirst: "choosers", // names[first .. first + mask]
    chooserMask: "choosers", // size of the table - 1, a power of two; -1: it has no names
    chooserAny: "choosers", // a choice; NONE: who asks for another name, or for none, is refused
    // A name in lower case; textAt NONE: an empty place. What is chosen for it, and for what is below it:
    // choices, or NONE.
    nameTextAt: "names",
    nameTextBytes: "names",
    nameExact: "names",
    nameWild: "names",
    // A choice: for those who offer its protocol, which is as a hello has it: a byte with its length, then so many
    // bytes. 0 bytes: for all.
    choiceProtocolAt: "choices",
    choiceProtocolBytes: "choices",
    choiceNext: "choices", // for who does not offer it, an earlier row; NONE: it is refused
    choiceUpstream: "choices", // NONE: an upstream that was left out
    choiceTerminate: "choices", // 1: TLS ends here, by the listener's own settings; 0: it is passed on
  },
} as const;
type SniTable = typeof SNI.tables[number];

export type SniSizes = Sizes<SniTable>;
export type Sni = Part<SniTable, keyof typeof SNI.columns>;

/** By which a listener chooses; NONE: it does not choose by name. */
export function chooserOf({ listenerChooser }: Sni, listener: number): number {
  return listener < listenerChooser.length ? listenerChooser[listener] : NONE;
}

/** What must hold of the choosers of any Plan before it is published. */
export function checkSni(sni: Sni, upstreams: number, arenaBytes: number): void {
  const { sizes } = sni;
  inRange(sni.listenerChooser, sizes.choosers);
  inRange(sni.chooserAny, sizes.choices);
  inRange(sni.nameExact, sizes.choices);
  inRange(sni.nameWild, sizes.choices);
  inRange(sni.choiceUpstream, upstreams);
  for (let choice = 1; choice < sizes.choices; choice++) {
    const next = sni.choiceNext[choice], at = sni.choiceProtocolAt[choice];
    assert(next >= NONE && next < choice, "plan: the choices for protocols have no end");
    const end = at + sni.choiceProtocolBytes[choice];
    assert(at >= 0 && end >= at && end <= arenaBytes, "plan: a protocol of a choice is out of range");
  }
  for (let chooser = 1; chooser < sizes.choosers; chooser++) checkNames(sni, chooser);
  for (let name = 0; name < sizes.names; name++) {
    const at = sni.nameTextAt[name], bytes = sni.nameTextBytes[name];
    assert(at >= 0 && bytes >= 0 && at + bytes <= arenaBytes, "plan: a name of a chooser is out of range");
  }
  for (const terminate of sni.choiceTerminate) {
    assert(terminate === 0 || terminate === 1, "plan: a choice that is neither of the two");
  }
}

function checkNames({ sizes, chooserFirst, chooserMask, nameTextAt }: Sni, chooser: number): void {
  const first = chooserFirst[chooser], mask = chooserMask[chooser];
  assert(mask >= -1 && (mask & (mask + 1)) === 0, "plan: a table of names is no power of two");
  if (mask < 0) return;
  assert(first > NONE && first + mask < sizes.names, "plan: a table of names is out of range");
  let empty = 0;
  for (let place = first; place <= first + mask; place++) if (nameTextAt[place] === NONE) empty++;
  assert(empty > 0, "plan: who looks for a name that is not there would not come to an end");
}

function inRange(column: Int32Array, rows: number): void {
  for (const row of column) {
    assert(row >= NONE && row < Math.max(rows, 1), "plan: a chooser names a row out of range");
  }
}
