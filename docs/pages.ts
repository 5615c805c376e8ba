// The pages of docs/ that are generated, each from what the program itself works by.
import { referencePage } from "../src/control/config/reference.ts";
import { reasonsPage } from "../src/control/reasons/page.ts";

export interface Page {
  /** Below docs/. */
  readonly name: string;
  readonly text: () => string;
}

export const PAGES: readonly Page[] = [
  { name: "reference.md", text: referencePage },
  { name: "reasons.md", text: reasonsPage },
];
