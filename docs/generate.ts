// Writes the generated pages: npm run docs. A test holds that they are what this writes.
import { writeFileSync } from "node:fs";
import { PAGES } from "./pages.ts";

for (const { name, text } of PAGES) writeFileSync(new URL(name, import.meta.url), text());
