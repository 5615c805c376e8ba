// What docs/ holds is what the program says of itself.
import { equal } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { PAGES } from "../../docs/pages.ts";

for (const { name, text } of PAGES) {
  test(`docs/${name} is as it is generated`, () => {
    const written = readFileSync(new URL(`../../docs/${name}`, import.meta.url), "utf8");
    equal(written, text(), `docs/${name} is out of date; write it anew with: npm run docs`);
  });
}
