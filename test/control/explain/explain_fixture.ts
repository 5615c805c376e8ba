// A configuration to ask about, in the real library: expressions are PCRE2's.
import { among, type Files } from "../config/files.ts";
import { ok } from "node:assert/strict";
import { CONTROL_ARENA_BYTES, CONTROL_ROOM } from "../../../src/base/limits.ts";
import { parseRun } from "../../../src/control/config/run.ts";
import { offlineWorld } from "../../../src/control/explain/offline.ts";
import { explain } from "../../../src/control/explain/explain.ts";
import type { Explanation } from "../../../src/control/explain/explanation.ts";
import { readQuestion } from "../../../src/control/explain/question.ts";
import type { World } from "../../../src/control/explain/world.ts";
import { splitQuestion } from "../../../src/control/verbs/explain.ts";
import { libraryPath } from "../../../src/sys/library.ts";
import { enterRoom, openLibrary, sys } from "../../../src/sys/sys.ts";

export const CONFIG = `defaults: { timeouts: { answer: 10s } }
listeners:
  db:
    bind: tcp://127.0.0.1:5432
    to: db
  lonely: { bind: "unix:/run/lonely.sock", to: db }
  web:
    bind: [http://:8080, http://127.0.0.1:8081]
    trust: [10.0.0.0/8, 192.0.2.0/24]
    routes:
      - match: { host: shop.example, path: /api/, method: [GET, POST], header: { x-beta: "1" } }
        rewrite: { strip-prefix: /api }
        headers:
          request: { set: { X-Tier: gold, Authorization: "Basic abc" }, remove: [X-Internal] }
          response: { set: { X-Frame-Options: DENY }, remove: [Server] }
        to: api
      - match: { host: "*.shop.example", path: "/users/{id}" }
        redirect: { to: "https://{host}/u/{id}" }
      - match: { path: /ping }
        respond: { body: pong }
      - match: { path: { regex: "^/v[0-9]+/" }, query: { q: "1" }, cookie: { c: "2" }, client: 10.0.0.0/8 }
        to: api
      - match: { path: /up/ }
        body-max: 1KiB
        to: api
    timeouts: { exchange: 2m }
  plain:
    bind: http://127.0.0.1:8082
    to: based
  rest:
    bind: http://127.0.0.1:8083
    routes:
      - match: { host: a.example }
        to: api
upstreams:
  db: { servers: [10.0.0.5:5432, 10.0.0.6:5432, 10.0.0.7:5432], health: { tcp: true, fall: 2 } }
  api: { servers: [10.0.0.1:80/base, 10.0.0.2:80;max-connections=3], timeouts: { connect: 1s } }
  based: { servers: [10.0.0.9:80/base] }
`;

export async function openRoom(): Promise<void> {
  await openLibrary(libraryPath());
  ok(sys.setup() > 0);
  sys.room_open(CONTROL_ROOM, 1, 1, CONTROL_ARENA_BYTES); // may be open already, by another file's tests
  enterRoom(CONTROL_ROOM);
}

/** `files`: others beside the configuration. */
export async function worldOf(text = CONFIG, files: Files = {}): Promise<World> {
  const surroundings = among({ ...files, "f.yaml": text });
  const parsed = parseRun(["run", "-c", "f.yaml", "--admin", "off"], surroundings);
  ok("config" in parsed, JSON.stringify(parsed));
  const world = await offlineWorld({ ...parsed, disk: surroundings.disk });
  ok("plan" in world);
  return world;
}

/** What is answered to the words of a command line: the question, fields behind -H, a client behind --from, a name
 * behind --sni, protocols behind --alpn. */
export function answerTo(world: World, words: readonly string[]): Explanation {
  const rest: string[] = [], headers: string[] = [];
  let from: string | undefined,
    proxied: string | undefined,
    sni: string | undefined,
    alpn: string | undefined;
  for (let at = 0; at < words.length; at++) {
    if (words[at] === "-H") headers.push(words[++at]);
    else if (words[at] === "--from") from = words[++at];
    else if (words[at] === "--proxied") proxied = words[++at];
    else if (words[at] === "--sni") sni = words[++at];
    else if (words[at] === "--alpn") alpn = words[++at];
    else rest.push(words[at]);
  }
  const split = splitQuestion(rest, true);
  ok("what" in split, JSON.stringify(split));
  const question = readQuestion({
    what: split.what,
    method: split.method,
    from,
    proxied,
    sni,
    alpn,
    headers,
  });
  ok("kind" in question, JSON.stringify(question));
  const answer = explain(world, question);
  ok("decision" in answer, JSON.stringify(answer));
  return answer;
}
