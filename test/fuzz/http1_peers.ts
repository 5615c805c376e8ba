// Other strict parsers of HTTP/1, as child processes that judge what we would forward. What we accept they
// must accept, and see the same in it; what they accept and we refuse is our strictness.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));

export interface Peer {
  readonly name: string;
  /** Judges messages, each with its kind and length in front: one line for each. */
  judge(batch: Uint8Array, count: number): Promise<string[]>;
  end(): void;
}

/** Differences that we know: what a peer says, of which messages, and why that is no fault of ours. In all
 * of them it refuses, so that nothing is read in two ways. Each hides others: keep it short. */
const KNOWN: readonly (readonly [peer: string, says: RegExp, of: RegExp, why: string])[] = [
  ["node", /^no HPE_INVALID_METHOD/, /^/, "llhttp has a list of methods; RFC 9110 9.1 allows any token"],
  [
    "go",
    /^no .*invalid URL escape/,
    /^\S+ \S*%(?![0-9a-f]{2})/i,
    "net/url decodes while it parses; such a path is for routing to refuse, not for the codec",
  ],
];

export function isKnown(peer: string, says: string, message: string): boolean {
  return KNOWN.some(([name, pattern, of]) => name === peer && pattern.test(says) && of.test(message));
}

/** Peers that can be had here; why another cannot is told to `say`. */
export function startPeers(say: (text: string) => void): Peer[] {
  const peers = [startPeer("node", "node", [join(HERE, "node_peer.mjs")], () => {})];
  const folder = mkdtempSync(join(tmpdir(), "sluice-fuzz-"));
  const removeFolder = () => rmSync(folder, { recursive: true, force: true });
  const program = join(folder, "go_peer");
  const built = spawnSync("go", ["build", "-o", program, join(HERE, "go_peer", "main.go")], {
    encoding: "utf8",
    timeout: 300_000,
    env: { ...process.env, GO111MODULE: "off", GOCACHE: join(folder, "cache"), GOFLAGS: "" },
  });
  if (built.status === 0) return [...peers, startPeer("go", program, [], removeFolder)];
  removeFolder();
  const why = built.error?.message ?? built.stderr;
  say(`without Go's net/http: ${why.trim()} (on Debian: apt-get install golang-go)`);
  return peers;
}

function startPeer(name: string, program: string, words: string[], ended: () => void): Peer {
  const child: ChildProcess = spawn(program, words, { stdio: ["pipe", "pipe", "inherit"] });
  let text = "";
  let lines: string[] = [];
  let wake = () => {};
  let gone: string | undefined;
  child.stdout!.setEncoding("latin1");
  child.stdout!.on("data", (piece: string) => {
    const parts = (text + piece).split("\n");
    text = parts.pop()!;
    lines.push(...parts);
    wake();
  });
  child.on("error", (error) => {
    gone = error.message;
    wake();
  });
  child.on("exit", (status, signal) => {
    gone = `it ended with ${status ?? signal}`;
    wake();
  });
  return {
    name,
    async judge(batch, count) {
      child.stdin!.write(batch);
      while (lines.length < count) {
        if (gone !== undefined) throw new Error(`${name}: ${gone}`);
        await new Promise<void>((resolve) => wake = resolve);
      }
      const taken = lines.slice(0, count);
      lines = lines.slice(count);
      return taken;
    },
    end() {
      child.kill();
      ended();
    },
  };
}
