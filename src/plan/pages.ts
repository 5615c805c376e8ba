// The part of the Plan with the error pages that a configuration gives in place of ours. Filled by
// control/config/compile_pages.ts, read by proxy/answer.ts. Row 0 of every table is nobody.
import { assert } from "../base/assert.ts";
import { NONE } from "../base/limits.ts";
import type { Part, Sizes } from "./part.ts";

/** The forms of an error page. Who names none of them gets the first that the page gives. */
export const enum PageForm {
  Text,
  Html,
  Json,
  Problem,
}
export const PAGE_FORMS = 4;

/** Statuses that may have a page, and how many. */
export const PAGE_STATUS_FIRST = 400;
export const PAGE_STATUSES = 200;

export const PAGES = {
  tables: ["listeners", "entries", "pages", "texts"],
  columns: {
    listenerEntries: "listeners", // where its entries begin; NONE: every page is ours
    entryPage: "entries", // by listenerEntries + status - PAGE_STATUS_FIRST; NONE: ours
    pageForms: "pages", // bits by PageForm: those it gives, the others are ours
    pageFirst: "pages", // the lowest of them
    textAt: "texts", // by page * PAGE_FORMS + PageForm
    textBytes: "texts",
  },
} as const;
type PageTable = typeof PAGES.tables[number];

export type PagesSizes = Sizes<PageTable>;
export type Pages = Part<PageTable, keyof typeof PAGES.columns>;

/** What a listener says with a status in place of our page; NONE: nothing. */
export function pageOf({ listenerEntries, entryPage }: Pages, listener: number, status: number): number {
  assert(
    status >= PAGE_STATUS_FIRST && status < PAGE_STATUS_FIRST + PAGE_STATUSES,
    "pages: the status of no error",
  );
  const entries = listener < listenerEntries.length ? listenerEntries[listener] : NONE;
  return entries === NONE ? NONE : entryPage[entries + status - PAGE_STATUS_FIRST];
}

/** What must hold of the pages of any Plan before it is published. */
export function checkPages(pages: Pages, arenaBytes: number): void {
  const { sizes, listenerEntries, entryPage, pageForms, pageFirst, textAt, textBytes } = pages;
  assert(sizes.texts === sizes.pages * PAGE_FORMS, "plan: a page without its texts");
  for (const entries of listenerEntries) {
    assert(
      entries === NONE || (entries > NONE && entries + PAGE_STATUSES <= sizes.entries),
      "plan: a listener's pages are out of range",
    );
  }
  for (const page of entryPage) {
    assert(page >= NONE && page < Math.max(sizes.pages, 1), "plan: a status names a page that is not there");
  }
  for (let page = 1; page < sizes.pages; page++) {
    const forms = pageForms[page], first = pageFirst[page];
    assert(forms > 0 && forms < 1 << PAGE_FORMS, "plan: a page without a form");
    assert((forms & -forms) === 1 << first, "plan: a page begins with a form it does not give");
  }
  for (let text = 0; text < sizes.texts; text++) {
    assert(
      textAt[text] >= 0 && textBytes[text] >= 0 && textAt[text] + textBytes[text] <= arenaBytes,
      "plan: a page's text is out of range",
    );
  }
}
