// The part of the schema that is about requests: which of them a route takes, and what becomes of them.
// Values leave converted; what holds between a route's keys is checked here too.
import * as z from "zod";
import { readCidr } from "./cidr.ts";
import { quoted, type Reading, refused, taken } from "./errors.ts";
import {
  OWN_BODY_BYTES_MAX,
  type PathMatch,
  readEditableName,
  readEditableRequestName,
  readExact,
  readFieldName,
  readFieldValue,
  readHost,
  readMethod,
  readOwnBody,
  readPath,
  readPathText,
  readPattern,
  readPrefix,
  readRegex,
  readRenamedRequestName,
  readText,
} from "./http_values.ts";
import { count, countDoc, give, key, oneOrList, size, sizeDoc, text, textsByName } from "./keys.ts";
import { onRemove } from "./remove_schema.ts";
import type { HeaderEdits } from "./routes.ts";
import { type Range, readCount } from "./units.ts";

/** Where the requests of a route go. */
export type RouteAction =
  | { readonly kind: "upstream"; readonly to: string }
  | { readonly kind: "redirect"; readonly to: string; readonly status: number }
  | { readonly kind: "respond"; readonly status: number; readonly body: string; readonly type: string }
  | { readonly kind: "page"; readonly status: number };

const BODY_BYTES: Range = { min: 1, max: 2 ** 50 };
const ERROR_STATUS = 400;
const RESPOND_STATUS: Range = { min: 200, max: 599 };
const REDIRECTS = [301, 302, 303, 307, 308] as const;
/** Answers without a body (RFC 9110 section 6.4.1). */
const BODILESS = [204, 304];

/** Fields of the answers that a route makes, in lower case. */
const OWN_FIELDS = ["content-type", "date", "location"];

const LATER = [
  "limits",
  "auth",
  "priority",
  "fallback",
  "cache",
  "compress",
  "split",
  "mirror",
  "files",
];

const match = z.strictObject({
  host: key(oneOrList(text(readHost)).optional(), {
    description: "host of the request without its port; one or a list; *.NAME is any depth below NAME",
    placeholder: "HOST",
    example: "shop.example",
    defaultText: "any",
  }),
  path: key(
    z.union([
      text(readPath),
      z.strictObject({
        exact: key(text(readExact).optional(), { description: "this path", placeholder: "PATH" }),
        prefix: key(text(readPrefix).optional(), {
          description: "this path and what is below it, at whole segments",
          placeholder: "PATH",
        }),
        pattern: key(text(readPattern).optional(), {
          description: "a path with named parts: /users/{id}/{rest...}",
          placeholder: "PATTERN",
        }),
        regex: key(text(readRegex).optional(), {
          description: "a PCRE2 expression, tried last",
          placeholder: "REGEX",
        }),
      }).transform((value, context): PathMatch => {
        const given = Object.values(value).filter((way) => way !== undefined);
        if (given.length === 1) return given[0];
        if (context.issues.length > 0) return z.NEVER; // an unknown key is what was meant
        context.addIssue({
          code: "custom",
          message: given.length === 0 ? "no path" : "several ways to compare one path",
          params: { remedy: "write one of exact, prefix, pattern, regex" },
        });
        return z.NEVER;
      }),
    ]).optional(),
    {
      description: "path of the request: with a slash at its end a prefix, with {name} a pattern, else exact",
      placeholder: "PATH",
      example: "/api/",
      defaultText: "any",
    },
  ),
  method: key(oneOrList(text(readMethod)).optional(), {
    description: "method of the request; one or a list",
    placeholder: "METHOD",
    example: "GET",
    defaultText: "any",
  }),
  header: key(textsByName(readFieldName, readFieldValue), {
    description: "fields that the request must have, with their values",
    placeholder: "NAME: VALUE",
  }),
  query: key(textsByName(readText, readQueryValue), {
    description: "parameters that the query must have, with their values",
    placeholder: "NAME: VALUE",
  }),
  cookie: key(textsByName(readFieldName, readFieldValue), {
    description: "cookies that the request must have, with their values",
    placeholder: "NAME: VALUE",
  }),
  client: key(oneOrList(text(readCidr)).optional(), {
    description: "addresses of the client; one prefix or a list",
    placeholder: "CIDR",
    example: "10.0.0.0/8",
    defaultText: "any",
  }),
});

/** A parameter may be empty. */
function readQueryValue(input: string): Reading<string> {
  return input === "" ? taken("") : readText(input);
}

function readRedirect(input: string | number): Reading<number> {
  const form = `write ${REDIRECTS.join(", ")}`;
  const status = readCount(input, { min: 100, max: 599 });
  if (!status.ok) return refused(status.what, form);
  if ((REDIRECTS as readonly number[]).includes(status.value)) return status;
  return refused(`${quoted(String(input))} sends nobody elsewhere`, form);
}

type ReadName = (text: string) => Reading<string>;

function edits(what: string, readName: ReadName, readRenamed: ReadName) {
  return key(
    z.strictObject({
      set: key(textsByName(readName, readFieldValue), {
        description: `fields that the ${what} has with this value alone`,
        placeholder: "NAME: VALUE",
      }),
      add: key(textsByName(readName, readFieldValue), {
        description: `fields that the ${what} has besides those of the same name`,
        placeholder: "NAME: VALUE",
      }),
      remove: key(oneOrList(text(readName)).optional(), {
        description: `fields that the ${what} loses; one or a list`,
        placeholder: "NAME",
      }),
      rename: key(textsByName(readRenamed, readName), {
        description: `fields of the ${what} that are called otherwise`,
        placeholder: "NAME: NAME",
      }),
    }).prefault({}),
    { description: `what becomes of the fields of the ${what}` },
  );
}

const fields = z.strictObject({
  match: key(match.prefault({}), {
    description: "which requests the route takes; all of it must hold",
    short: "path",
  }),
  rewrite: key(
    z.strictObject({
      "strip-prefix": key(text(readPathText).optional(), {
        description: "what the path loses at its beginning",
        placeholder: "PATH",
      }),
      "add-prefix": key(text(readPathText).optional(), {
        description: "what the path gets before it",
        placeholder: "PATH",
      }),
      path: key(text(readText).optional(), {
        description: "another path; {name}, {rest}, {path}, {query} stand for parts of the request",
        placeholder: "TEMPLATE",
      }),
      host: key(text(readText).optional(), {
        description: "another host",
        placeholder: "TEMPLATE",
      }),
    }).prefault({}),
    { description: "what the server sees of the request instead of what came", short: "path" },
  ),
  headers: key(
    z.strictObject({
      request: edits("request", readEditableRequestName, readRenamedRequestName),
      response: edits("answer", readEditableName, readEditableName),
    }).prefault({}),
    { description: "edits of fields" },
  ),
  "body-max": key(size(BODY_BYTES).optional(), {
    description: "largest body of a request",
    defaultText: "no limit",
    ...sizeDoc(BODY_BYTES),
  }),
  "on-remove": onRemove("whose request took this route (WebSockets, long answers)"),
  to: key(z.string().optional(), {
    description: "name of the upstream that gets the requests",
    placeholder: "UPSTREAM",
  }),
  redirect: key(
    z.strictObject({
      to: key(text(readText), {
        description: "where to; {name}, {rest}, {host}, {path}, {query} stand for parts of the request",
        placeholder: "TEMPLATE",
        example: "/new/{rest}",
      }),
      status: key(
        z.union([z.number(), z.string()]).transform((input, context) => give(readRedirect(input), context))
          .prefault(308),
        { description: "status of the answer", placeholder: REDIRECTS.join("|") },
      ),
    }).optional(),
    { description: "sends the client elsewhere", short: "to" },
  ),
  respond: key(
    z.strictObject({
      status: key(count(RESPOND_STATUS).prefault(200), {
        description: "status of the answer",
        ...countDoc(RESPOND_STATUS),
        placeholder: "STATUS",
      }),
      body: key(text(readOwnBody).optional(), {
        description: "the answer's body; without one, a status from 400 on has an error page",
        placeholder: "TEXT",
        range: `0 to ${OWN_BODY_BYTES_MAX} bytes`,
      }),
      type: key(text(readFieldValue).prefault("text/plain; charset=utf-8"), {
        description: "the body's Content-Type",
        placeholder: "TYPE",
      }),
    }).optional(),
    { description: "answers by itself", short: "body" },
  ),
});

/** Checks what must hold between the keys of a route, and brings it into its form. */
function routeOf(given: z.output<typeof fields>, context: z.RefinementCtx) {
  const error = (path: readonly string[], message: string, remedy: string): void => {
    context.addIssue({ code: "custom", path: [...path], message, params: { remedy } });
  };
  const { match, rewrite, headers } = given;
  for (const [of, { set }] of Object.entries(headers)) {
    for (const [name, other] of sameFields(Object.keys(set))) {
      const path = ["headers", of, "set", name];
      error(path, `${quoted(name)} and ${quoted(other)} are one field`, "leave one of them out");
    }
  }
  for (const [name, other] of sameFields(Object.keys(match.header))) {
    const what = `${quoted(name)} and ${quoted(other)} are one field, and both must match`;
    error(["match", "header", name], what, "leave one of them out, or write a route for each");
  }
  const actions = (["to", "redirect", "respond"] as const).filter((kind) => given[kind] !== undefined);
  // An unknown key may be what was meant.
  if (actions.length === 0 && context.issues.length === 0) {
    error([], "nothing becomes of the requests", "write to: UPSTREAM, redirect or respond");
  }
  if (actions.length > 1) {
    error([actions[1]], `contradicts ${actions[0]}`, `leave out ${actions[0]} or ${actions[1]}`);
  }
  if (actions.length > 0 && given.to === undefined) {
    const forwarding = [
      ...Object.keys(rewrite).map((name) => ["rewrite", name]),
      ...(isEmpty(headers.request) ? [] : [["headers", "request"]]),
    ];
    for (const path of forwarding) {
      error(path, "changes requests that go to no server", "leave it out, or write to: UPSTREAM");
    }
  }
  if (actions.length > 0 && given.to === undefined) {
    for (const name of Object.keys(headers.response.rename)) {
      if (!OWN_FIELDS.includes(name.toLowerCase())) continue;
      const path = ["headers", "response", "rename", name];
      error(path, `Sluice writes ${quoted(name)} itself`, "set it, or remove it");
    }
  }
  if (rewrite.path !== undefined && (rewrite["strip-prefix"] ?? rewrite["add-prefix"]) !== undefined) {
    error(["rewrite", "path"], "contradicts strip-prefix and add-prefix", "leave out one or the other");
  }
  if (
    given.respond !== undefined && BODILESS.includes(given.respond.status) &&
    (given.respond.body ?? "") !== ""
  ) {
    error(["respond", "body"], `an answer of status ${given.respond.status} has no body`, "leave it out");
  }
  return {
    match: {
      host: match.host ?? [],
      path: match.path,
      method: match.method ?? [],
      header: match.header,
      query: match.query,
      cookie: match.cookie,
      client: match.client ?? [],
    },
    rewrite,
    headers: { request: fieldEdits(headers.request), response: fieldEdits(headers.response) },
    "body-max": given["body-max"] ?? 0,
    ...(given["on-remove"] === undefined ? {} : { "on-remove": given["on-remove"] }),
    action: actionOf(given),
  };
}

/** Names that differ from another before them by nothing but case, each with that one. */
function sameFields(names: readonly string[]): [name: string, other: string][] {
  const seen = new Map<string, string>();
  return names.flatMap((name): [string, string][] => {
    const lower = name.toLowerCase(), other = seen.get(lower);
    seen.set(lower, other ?? name);
    return other === undefined ? [] : [[name, other]];
  });
}

type GivenEdits = z.output<typeof fields>["headers"]["request"];

function fieldEdits({ set, add, remove = [], rename }: GivenEdits): HeaderEdits {
  return { set, add, remove, rename };
}

function isEmpty(given: GivenEdits): boolean {
  return Object.values(fieldEdits(given)).every((edits) => Object.keys(edits).length === 0);
}

function actionOf({ to, redirect, respond }: z.output<typeof fields>): RouteAction {
  if (redirect !== undefined) return { kind: "redirect", ...redirect };
  if (respond !== undefined) {
    const { status, body, type } = respond;
    return body === undefined && status >= ERROR_STATUS
      ? { kind: "page", status }
      : { kind: "respond", status, body: body ?? "", type };
  }
  return { kind: "upstream", to: to ?? "" };
}

/** One route of a listener; a limit of 0 is none. */
export const route = key(fields.transform(routeOf), { description: "one route", later: LATER });
/** A route, checked, every default filled in. */
export type Route = z.output<typeof route>;
