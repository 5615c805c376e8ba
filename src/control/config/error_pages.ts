// The part of the schema that is about error pages of one's own: what Sluice says, status by status and form
// by form, in place of its own words. What is wrong with the files they name is page_files.ts's.
import * as z from "zod";
import { PAGE_STATUS_FIRST, PAGE_STATUSES } from "../../plan/pages.ts";
import { didYouMean, quoted, type Reading, refused, taken } from "./errors.ts";
import { OWN_BODY_BYTES_MAX, readOwnBody } from "./http_values.ts";
import { give, key, text } from "./keys.ts";

/** Where the text of a page is: here, or in a file. */
export type PageSource =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "file"; readonly path: string };

/** The forms of a page, in the order in which they are preferred when a client names none. */
export const FORMS = ["text", "html", "json", "problem"] as const;
export type Form = typeof FORMS[number];

/** Some forms of one page, at least one. */
export type ErrorPage = { readonly [F in Form]?: PageSource };
/** By status, or `4xx` and `5xx` for all that have no page of their own. */
export type ErrorPages = Readonly<Record<string, ErrorPage>>;

export const PAGE_CLASSES = ["4xx", "5xx"] as const;
const PAGE_STATUS_LAST = PAGE_STATUS_FIRST + PAGE_STATUSES - 1;
const FILE = "file:";
const PATH_CHARACTERS_MAX = 4_000;

function readStatus(input: string): Reading<string> {
  const form = `write a status from ${PAGE_STATUS_FIRST} to ${PAGE_STATUS_LAST}, 4xx or 5xx`;
  if ((PAGE_CLASSES as readonly string[]).includes(input)) return taken(input);
  if (!/^[0-9]{3}$/.test(input)) return refused("is no status", classMeant(input, form));
  const status = Number(input);
  if (status < PAGE_STATUS_FIRST || status > PAGE_STATUS_LAST) return refused("is no error's status", form);
  return taken(input);
}

/** `4XX`, `5x`: short words are near to every status, so only these are guessed at. */
function classMeant(input: string, otherwise: string): string {
  return /^[45][x*]{1,3}$/i.test(input) ? didYouMean(`${input[0]}xx`, PAGE_CLASSES, otherwise) : otherwise;
}

function readSource(input: string): Reading<PageSource> {
  if (!input.startsWith(FILE)) {
    const body = readOwnBody(input);
    return body.ok ? taken({ kind: "text", text: body.value }) : body;
  }
  const path = input.slice(FILE.length);
  if (path === "") return refused(`${FILE} without a path`, `write ${FILE}PATH`);
  if (path.length > PATH_CHARACTERS_MAX) {
    return refused(`a path of ${path.length} characters`, `write at most ${PATH_CHARACTERS_MAX}`);
  }
  if (/[\p{Cc}\p{Cs}]/u.test(path)) {
    return refused(`${quoted(path)} holds a control character`, "write a path in printable characters");
  }
  return taken({ kind: "file", path });
}

function form(type: string) {
  return key(text(readSource).optional(), {
    description: `the page as ${type}; ${FILE}PATH is what that file holds`,
    placeholder: `TEXT|${FILE}PATH`,
    range: `0 to ${OWN_BODY_BYTES_MAX} bytes`,
    defaultText: "Sluice's own",
  });
}

const page = z.strictObject({
  text: form("text/plain"),
  html: form("text/html"),
  json: form("application/json"),
  problem: form("application/problem+json"),
}).superRefine((given, context) => {
  if (context.issues.length > 0 || FORMS.some((name) => given[name] !== undefined)) return;
  const params = { remedy: `write ${FORMS.slice(0, -1).join(", ")} or ${FORMS.at(-1)}` };
  context.addIssue({ code: "custom", message: "a page in no form", params });
});

const status = z.string().superRefine((input, context) => void give(readStatus(input), context));

/** The error pages of a listener. */
export const errorPages = z.record(
  status,
  key(page, {
    description: `the page for one status, ${PAGE_STATUS_FIRST} to ${PAGE_STATUS_LAST}, or for the rest of ` +
      "4xx or 5xx",
    placeholder: "{ html: TEXT }",
    short: "html",
  }),
).prefault({});
