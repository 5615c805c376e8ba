// The error pages of listeners as bytes in the arena, and the tables that lead to them.
import { NONE } from "../../base/limits.ts";
import {
  PAGE_FORMS,
  PAGE_STATUS_FIRST,
  PAGE_STATUSES,
  type Pages,
  type PagesSizes,
} from "../../plan/pages.ts";
import type { ArenaWriter, Span } from "./arena.ts";
import { type ErrorPage, type ErrorPages, FORMS, PAGE_CLASSES, type PageSource } from "./error_pages.ts";
import { keyOf, pageBytes, type PageFiles } from "./page_files.ts";

/** The pages of one generation. */
export interface PlacedPages {
  readonly sizes: PagesSizes;
  fill(pages: Pages): void;
}

type PlacedPage = readonly (Span | undefined)[];

/** A listener's number, and what is configured for it: those of one object share their tables. */
interface Owner {
  readonly number: number;
  readonly configured: { readonly "error-pages": ErrorPages };
}

/** Adds the pages to the arena, each text once. */
export function placePages(arena: ArenaWriter, owners: readonly Owner[], files: PageFiles): PlacedPages {
  const placed = new Map<string, Span>();
  const spanOf = (source: PageSource): Span => {
    const known = keyOf(source);
    const bytes = pageBytes(source, files) ?? new Uint8Array(0);
    const span = placed.get(known) ?? { at: arena.add(bytes), bytes: bytes.length };
    placed.set(known, span);
    return span;
  };
  const pages: PlacedPage[] = [[]], entries: number[] = [NONE]; // row 0 is nobody
  const firsts = new Map<ErrorPages, number>();
  const listeners: number[] = [];
  for (const { number, configured: { "error-pages": given } } of owners) {
    while (listeners.length <= number) listeners.push(NONE);
    if (Object.keys(given).length === 0) continue;
    let first = firsts.get(given);
    if (first === undefined) {
      first = entries.length;
      firsts.set(given, first);
      const place = (page: ErrorPage): number => {
        return pages.push(FORMS.map((form) => page[form] && spanOf(page[form]))) - 1;
      };
      entries.push(...entriesOf(given, place));
    }
    listeners[number] = first;
  }
  const sizes = {
    listeners: listeners.length,
    entries: entries.length,
    pages: pages.length,
    texts: pages.length * PAGE_FORMS,
  };
  return { sizes, fill: (into) => fill(into, listeners, entries, pages) };
}

/** For each status its page: the one of that very status, else of its class. */
function entriesOf(given: ErrorPages, place: (page: ErrorPage) => number): number[] {
  const numbers = new Map(Object.entries(given).map(([status, page]) => [status, place(page)]));
  return Array.from({ length: PAGE_STATUSES }, (_, at) => {
    const status = String(PAGE_STATUS_FIRST + at);
    const ofClass = PAGE_CLASSES.find((name) => name[0] === status[0]) ?? "";
    return numbers.get(status) ?? numbers.get(ofClass) ?? NONE;
  });
}

function fill(
  into: Pages,
  listeners: readonly number[],
  entries: readonly number[],
  pages: readonly PlacedPage[],
): void {
  into.listenerEntries.set(listeners);
  into.entryPage.set(entries);
  pages.forEach((page, number) => {
    page.forEach((span, form) => {
      if (span === undefined) return;
      if (into.pageForms[number] === 0) into.pageFirst[number] = form;
      into.pageForms[number] |= 1 << form;
      into.textAt[number * PAGE_FORMS + form] = span.at;
      into.textBytes[number * PAGE_FORMS + form] = span.bytes;
    });
  });
}
