import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { readVerb, type VerbArguments, verbOf } from "../../../src/control/config/verbs.ts";
import { why } from "../../../src/control/verbs/why.ts";
import { REASONS } from "../../../src/shared/reason.ts";

function ask(...argv: string[]) {
  return why(readVerb(verbOf("why")!, argv) as VerbArguments);
}

test("why REASON: cause, what to look at, what to change, errno, what the client gets", () => {
  const { status, stdout, stderr } = ask("connection_refused");
  deepEqual([status, stderr], [0, ""]);
  match(stdout, /^connection_refused: the server refused the connection\n/);
  const parts = ["Why", "Look at", "Change", "errno"];
  const places = parts.map((part) => stdout.indexOf(`\n${part}\n`));
  ok(places.every((place, at) => place > 0 && (at === 0 || place > places[at - 1])), places.join());
  match(stdout, /\n {2}ECONNREFUSED {2}\S/);
  match(stdout, /The client gets: status 502;/);
});

test("every text fits a terminal of 110 columns", () => {
  const texts = [...REASONS.map(({ name }) => name), "502", "http_request_error", "EPROTO", "certificate"];
  for (const { stdout } of [ask(), ...texts.map((word) => ask(word))]) {
    for (const line of stdout.split("\n")) ok(line.length <= 110, line);
    ok(stdout.endsWith("\n"));
  }
});

test("why without a word: every reason, a line each", () => {
  const { status, stdout } = ask();
  equal(status, 0);
  for (const { name, text } of REASONS) match(stdout, new RegExp(`^  ${name} .*${text}$`, "m"));
});

test("why STATUS: who may have said it", () => {
  const ours = ask("504").stdout;
  for (const name of ["connection_timeout", "answer_timeout", "exchange_timeout"]) {
    match(ours, new RegExp(`^  ${name} +504 `, "m"));
  }
  match(ours, /^ {2}- finished: the server/m);
  match(ask("418").stdout, /^Sluice never says 418 by itself\./);
});

test("why TYPE: the one reason, or all that have it", () => {
  match(ask("destination_not_found").stdout, /^no_route: /);
  match(ask("connection_terminated").stdout, /^connection_terminated is the type .* of several reasons:/);
});

test("why ERRNO and why ALERT: the one reason, or what it says of each", () => {
  const refused = ask("ECONNREFUSED").stdout;
  match(refused, /^ECONNREFUSED is the errno of\n\n {2}connection_refused {2}a reset came back/);
  match(refused, /\nconnection_refused: the server refused the connection\n/);
  const late = ask("etimedout").stdout;
  match(late, /^ {2}client_reset {8}the client vanished/m);
  match(late, /^ {2}connection_timeout {2}no answer came in time/m);
  match(late, /\nsluice why REASON explains one\.\n$/);
  const alert = ask("unknown_ca").stdout;
  match(
    alert,
    /^unknown_ca is said in the detail of\n\n {2}client_alert {2}Alert unknown_ca: it does not know/,
  );
  match(alert, /^ {2}server_alert {2}Alert unknown_ca/m);
  match(ask("server_alert").stdout, /\ndetail\n {2}An alert came that has no name here\.\n/);
});

test("what nobody knows is refused with the nearest word", () => {
  const cases: [words: string[], says: RegExp][] = [
    [["conection-refused"], /^sluice: conection-refused: .*; did you mean "connection_refused"\?\n$/],
    [["http_reqest_error"], /did you mean "http_request_error"\?/],
    [["xyzzy"], /; sluice why lists them all\n$/],
    [["7"], /neither a reason/],
    [["bug", "loop"], /^sluice: loop: a second word; ask for one at a time\n$/],
    [["\x1b[31m"], /^sluice: \\x1B\[31m: /],
  ];
  for (const [words, says] of cases) {
    const { status, stdout, stderr } = ask(...words);
    deepEqual([status, stdout], [2, ""], words.join(" "));
    match(stderr, says);
  }
});

test("--format json: the same shape, whatever was asked", () => {
  for (
    const [words, count] of [[[], REASONS.length], [["loop"], 1], [["504"], 6], [["418"], 2], [
      ["EPROTO"],
      2,
    ]] as const
  ) {
    const { reasons } = JSON.parse(ask("--format", "json", ...words).stdout);
    equal(reasons.length, count, words.join(" "));
    for (const reason of reasons) {
      deepEqual(
        Object.keys(reason),
        "reason type text statuses resets means causes look_at change errnos details".split(" "),
      );
    }
  }
});
