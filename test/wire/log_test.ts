// Where access records go: files, pipes, devices and syslogs, as they are in the wild: renamed, stuck, full, away.
// Requests never notice, no line is torn apart, and what had to be dropped is counted.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { hostname } from "node:os";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { command, EXECUTABLE, run, type RunOptions, Sluice, withSluice } from "../support/executable.ts";
import { Folder } from "../support/folder.ts";
import { PatchedSluice } from "../support/patched.ts";
import { Peer } from "../support/peer.ts";
import { makePipe, PipeReader } from "../support/reader.ts";
import { freePort } from "../support/servers.ts";
import { openFds } from "../support/status.ts";
import { Syslog, type Transport } from "../support/syslog.ts";
import { until, within } from "../support/waiting.ts";

const ALONE = ["--reactors", "2", "--health", "off"];
/** Nobody asks for this host: every answer is our own 404, and has a line. */
const NOWHERE = "http://nobody.example:0=127.0.0.1:1";
const RECORD = /^\{"time":"[^"]+","client":"127\.0\.0\.1:[0-9]+","method":"GET","target":"\/([0-9]+)x*".*\}$/;

/** Sends `count` requests over one connection, 50 at a time, numbered from `first`. @returns the longest time that
 * 50 of them took */
async function load(port: number, first: number, count: number, padding = 0): Promise<number> {
  const socket = connect(port, "127.0.0.1");
  let answers = 0, broken: Error | undefined, tail = "", changed = () => {};
  socket.on("error", (error) => (broken = error, changed()));
  socket.on("close", () => (broken ??= new Error("closed"), changed()));
  socket.setEncoding("latin1").on("data", (text: string) => {
    tail += text;
    const parts = tail.split("HTTP/1.1 404");
    answers += parts.length - 1;
    tail = parts.at(-1)!.slice(-12);
    changed();
  });
  let longestMs = 0;
  for (let sent = 0; sent < count;) {
    const batch = Math.min(50, count - sent), wanted = sent + batch, fromMs = performance.now();
    let text = "";
    for (; sent < wanted; sent++) {
      text += `GET /${first + sent}${"x".repeat(padding)} HTTP/1.1\r\nHost: a\r\n\r\n`;
    }
    socket.write(text);
    while (answers < wanted) {
      await within("an answer", new Promise<void>((resolve) => changed = resolve));
      if (broken !== undefined) throw broken;
    }
    longestMs = Math.max(longestMs, performance.now() - fromMs);
  }
  socket.removeAllListeners("close").destroy();
  return longestMs;
}

/** The numbers of the requests in these lines; throws for a line that is none. */
function numbersOf(lines: readonly string[]): number[] {
  return lines.map((line) => {
    const found = RECORD.exec(line);
    if (found === null) throw new Error(`no record: ${line.slice(0, 300)}`);
    JSON.parse(line);
    return Number(found[1]);
  });
}

function linesOf(path: string): string[] {
  return readFileSync(path, "latin1").split("\n").slice(0, -1);
}

/** All records so far that no place has taken. */
async function dropped(sluice: Sluice): Promise<number> {
  const { records, access_log } = (await sluice.status()).totals.log_dropped;
  return records + access_log;
}

describe("a file", () => {
  it("renamed and opened again under load: every line once, none torn", async () => {
    using folder = new Folder();
    const path = folder.at("access.log"), count = 40_000;
    await withSluice([...ALONE, "--access-log", path, NOWHERE], async (sluice) => {
      const loads = Promise.all([load(sluice.port(), 0, count), load(sluice.port(), count, count)]);
      let isOver = false;
      loads.then(() => isOver = true, () => isOver = true);
      let files = 0;
      while (!isOver && files < 100) {
        await until("lines", () => isOver || linesOf(path).length > 100);
        renameSync(path, `${path}.${++files}`);
        sluice.signal("SIGUSR1");
        await until("a new file", () => existsSync(path));
      }
      await loads;
      ok(files > 3, `${files} files`);
      const paths = [path, ...Array.from({ length: files }, (_, file) => `${path}.${file + 1}`)];
      await until("all lines", () => paths.reduce((sum, file) => sum + linesOf(file).length, 0) >= 2 * count);
      const numbers = numbersOf(paths.flatMap(linesOf)).sort((a, b) => a - b);
      deepStrictEqual(numbers, Array.from({ length: 2 * count }, (_, number) => number));
      for (const file of paths) match(readFileSync(file, "latin1").slice(-2), /^(\}\n)?$/);
      strictEqual(await dropped(sluice), 0);
    });
  });

  it("that cannot be opened again: said so, and the old one stays in use", async () => {
    using folder = new Folder();
    mkdirSync(folder.at("logs"));
    const path = folder.at("logs/access.log");
    await withSluice([...ALONE, "--access-log", path, NOWHERE], async (sluice) => {
      await load(sluice.port(), 0, 1);
      renameSync(folder.at("logs"), folder.at("old"));
      sluice.signal("SIGUSR1");
      const { message, level } = await sluice.line("access-log", /stays in use/);
      strictEqual(level, "error");
      match(
        message,
        /^cannot open .*access\.log: its directory does not exist; create it first; the old file/,
      );
      await load(sluice.port(), 1, 1);
      await until("two lines", () => linesOf(folder.at("old/access.log")).length === 2);
    });
  });

  it("a line is there soon, though nothing had come for a while", async () => {
    using folder = new Folder();
    const path = folder.at("access.log");
    await withSluice([...ALONE, "--access-log", path, NOWHERE], async (sluice) => {
      for (let number = 0; number < 8; number++) {
        await sleep(30); // by now the log Worker sleeps
        await load(sluice.port(), number, 1);
        await until("the line", () => linesOf(path).length > number, 300);
      }
    });
  });

  it("others may not read it, and it is appended to", async () => {
    using folder = new Folder();
    const path = folder.at("access.log");
    for (const turn of [1, 2]) {
      await withSluice([...ALONE, "--access-log", path, NOWHERE], async (sluice) => {
        await load(sluice.port(), turn, 1);
      });
      deepStrictEqual(numbersOf(linesOf(path)), [1, 2].slice(0, turn));
    }
  });

  it("what is not a place for lines is refused at the start", async () => {
    using folder = new Folder();
    makePipe(folder.at("pipe"));
    const unread = await run(["--admin", "off", "--access-log", folder.at("pipe"), NOWHERE]);
    strictEqual(unread.status, 1);
    match(unread.stderr, /pipe: it is a pipe or a socket that nobody reads; start its reader first/);
    const directory = await run(["--admin", "off", "--access-log", folder.path, NOWHERE]);
    strictEqual(directory.status, 1);
    match(directory.stderr, /cannot open .*: it is a directory; write the path of a file/);
  });
});

describe("a device that is full", () => {
  it("is told once, counted, and told again when it works", async () => {
    using folder = new Folder();
    const path = folder.at("full");
    await withSluice([...ALONE, "--access-log", "/dev/full", NOWHERE], async (sluice) => {
      for (let turn = 0; turn < 5; turn++) {
        await load(sluice.port(), 0, 10);
        await until("them to be counted", async () => await dropped(sluice) === (turn + 1) * 10);
      }
      const told = () => sluice.log("access-log").map(({ level, message }) => [level, message]);
      await sluice.line("access-log", /^cannot write/);
      deepStrictEqual(told(), [["error", "cannot write: ENOSPC; records are lost until it works again"]]);
      strictEqual((await sluice.metrics()).get("sluice_access_log_lines_dropped_total"), 50);
      ok(!existsSync(path));
    });
  });

  it("and when there is room again, that is told once, too", { timeout: 60_000 }, async () => {
    using folder = new Folder();
    using patched = new PatchedSluice([{ // a file system that the test fills and empties takes root: a link does not
      file: "control/log_target.ts",
      find: "openFile(to.path, -1)",
      replace: 'openFile("/dev/full", -1)',
    }]);
    const path = folder.at("access.log");
    await withSluice([...ALONE, "--access-log", path, NOWHERE], async (sluice) => {
      await load(sluice.port(), 0, 3);
      await sluice.line("access-log", /^cannot write: ENOSPC/);
      await until("all to be counted", async () => await dropped(sluice) === 3);
      sluice.signal("SIGUSR1"); // now it is the file
      let number = 10;
      await until("it to be told", async () => {
        await load(sluice.port(), number++, 1);
        return sluice.log("access-log").length > 1;
      });
      const last = sluice.log("access-log").at(-1)!;
      deepStrictEqual([last.level, last.message], ["info", "records are written again"]);
      // Those that came between the signal and the opening are lost and counted like the first three.
      await until("all lines", async () => linesOf(path).length + await dropped(sluice) === 3 + number - 10);
      ok(linesOf(path).length > 0);
    }, { command: patched.command("bun") });
  });
});

describe("a pipe whose reader stops", () => {
  const places: [what: string, words: (pipe: string) => string[], command: (pipe: string) => string[]][] = [
    ["named", (pipe) => ["--access-log", pipe], () => [EXECUTABLE]],
    [
      "as standard output",
      () => ["--access-log", "stdout"],
      (pipe) => ["sh", "-c", `exec "$@" >"${pipe}"`, "sh", EXECUTABLE],
    ],
  ];
  for (const [what, words, launch] of places) {
    it(`${what}: requests go on, lines wait, then are dropped and counted; after it only whole ones`, async () => {
      using folder = new Folder();
      using reader = new PipeReader(folder.at("pipe"));
      const options = { command: launch(reader.pipe) };
      await withSluice([...ALONE, ...words(reader.pipe), NOWHERE], async (sluice) => {
        await load(sluice.port(), 0, 100);
        await until("100 lines", () => reader.lines.length === 101);
        reader.stop();
        const fromMs = performance.now();
        // Two connections, one for each reactor at best: 90 MiB of lines, and rings of 32 MiB.
        const each = 28_000;
        const longestMs = await Promise.all(
          [0, 1].map((loader) => load(sluice.port(), 1_000 + loader * each, each, 1_500)),
        );
        ok(Math.max(...longestMs) < 1_000, `50 requests took ${longestMs} ms`);
        await sleep(Math.max(0, fromMs + 2_000 - performance.now())); // it stands still for two seconds
        const lost = await dropped(sluice);
        ok(lost > 0, "the rings are full");
        reader.goOn();
        const total = 100 + 2 * each;
        await until("the rest", () => reader.lines.length - 1 >= total - lost);
        await load(sluice.port(), 900_000, 100);
        await until("the next ones", () => reader.lines.length - 1 >= total - lost + 100);
        const lines = reader.lines;
        strictEqual(lines.pop(), "");
        const numbers = numbersOf(lines);
        strictEqual(new Set(numbers).size, numbers.length, "none twice");
        strictEqual(numbers.length, total - lost + 100);
        strictEqual(await dropped(sluice), lost);
      }, options);
    });
  }

  for (const [what, words, launch] of places) {
    it(`${what}: does not keep Sluice from ending, and what was lost is said`, async () => {
      using folder = new Folder();
      using reader = new PipeReader(folder.at("pipe"));
      const options = { command: launch(reader.pipe) };
      using sluice = await Sluice.start([...ALONE, ...words(reader.pipe), NOWHERE], options);
      reader.stop();
      await load(sluice.port(), 0, 1_000, 1_000);
      const fromMs = performance.now();
      sluice.signal("SIGTERM");
      strictEqual(await sluice.exit(), 0);
      ok(performance.now() - fromMs < 5_000);
      match(sluice.log("access-log").at(-1)!.message, /^[0-9]+ records could not be written before the end$/);
    });
  }
});

describe("the end", () => {
  it("what was asked just before is written", async () => {
    using folder = new Folder();
    const path = folder.at("access.log"), count = 20_000;
    using sluice = await Sluice.start([...ALONE, "--access-log", path, NOWHERE]);
    await load(sluice.port(), 0, count);
    sluice.signal("SIGTERM");
    strictEqual(await sluice.exit(), 0);
    deepStrictEqual(
      numbersOf(linesOf(path)).sort((a, b) => a - b),
      Array.from({ length: count }, (_, n) => n),
    );
  });
});

describe("a log Worker that dies", () => {
  it("is told and replaced, and nothing else notices", async () => {
    using folder = new Folder();
    using patched = new PatchedSluice([{
      file: "control/fd_sink.ts",
      find: "const kind = sys.log_kind(this.#fd);",
      replace: `const kind = sys.log_kind(this.#fd);
    for (let at = ring.linesFrom; at !== end; at++) {
      if (ring.lines[at & MASK] === 0x21) { // "!"
        ring.readTo(end);
        throw new Error("a planted death");
      }
    }`,
    }]);
    const path = folder.at("access.log");
    await withSluice([...ALONE, "--access-log", path, NOWHERE], async (sluice) => {
      await load(sluice.port(), 1, 1);
      using client = await Peer.connect(sluice.port());
      await client.send("GET /die! HTTP/1.1\r\nHost: a\r\n\r\n");
      const { message, level } = await sluice.line("access-log", /died/);
      strictEqual(level, "error");
      match(message, /^the log Worker died; it is replaced: .*a planted death/);
      await load(sluice.port(), 2, 1);
      await until("the next line", () => linesOf(path).length === 2);
      deepStrictEqual(numbersOf(linesOf(path)), [1, 2]);
      const { reactor_deaths, log_worker } = (await sluice.status()).totals;
      deepStrictEqual([reactor_deaths, log_worker], [0, { alive: true, deaths: 1 }]);
      client.end();
    }, { command: patched.command("bun") });
  });
});

/** As `withSluice`, and one fd more is not lost: that of the syslog. */
async function withSyslog(
  words: readonly string[],
  test: (sluice: Sluice) => Promise<void>,
  options: RunOptions = {},
): Promise<void> {
  using sluice = await Sluice.start(words, options);
  const before = openFds(sluice.pid).length;
  await test(sluice);
  await until("everything to be given back", () => openFds(sluice.pid).length <= before + 1);
  sluice.signal("SIGTERM");
  strictEqual(await sluice.exit(), 0, sluice.stderr);
}

describe("a syslog", () => {
  const transports: readonly Transport[] = ["unix", "udp", "tcp"];
  for (const transport of transports) {
    const whereOf = (folder: Folder) => transport === "unix" ? folder.at("log.sock") : 0;

    it(`${transport}: one message for each line, by RFC 5424`, async () => {
      using folder = new Folder();
      await using syslog = await Syslog.listen(transport, whereOf(folder));
      await withSyslog([...ALONE, "--access-log", syslog.place, NOWHERE], async (sluice) => {
        const count = 500;
        for (let first = 0; first < count; first += 50) {
          await load(sluice.port(), first, 50, 1_000); // UDP has no back-pressure
          await syslog.received(first + 50);
        }
        const messages = await syslog.received(count);
        deepStrictEqual(
          numbersOf(messages.map(({ text }) => text)),
          Array.from({ length: count }, (_, number) => number),
        );
        const { text: _, time, ...rest } = messages[0];
        const pid = String(sluice.pid);
        const expected = {
          facility: 16,
          severity: 6,
          hostname: hostname(),
          app: "sluice",
          pid,
          id: "access",
        };
        deepStrictEqual(rest, expected);
        ok(Math.abs(Date.now() - Date.parse(time)) < 60_000);
        strictEqual(await dropped(sluice), 0);
      });
    });

    it(
      `${transport}: away at the start, then there, away and back: told once each`,
      { timeout: 90_000 },
      async () => {
        using folder = new Folder();
        const where = transport === "unix" ? folder.at("log.sock") : await freePort();
        const place = transport === "unix"
          ? `syslog:unix:${where}`
          : `syslog:${transport}://127.0.0.1:${where}`;
        await withSyslog([...ALONE, "--access-log", place, NOWHERE], async (sluice) => {
          let number = 0;
          const ask = async () => await load(sluice.port(), number++, 1);
          const told = () => sluice.log("access-log").map(({ message }) => message);
          for (let turn = 1; turn <= 2; turn++) {
            await until("it to be missed", async () => {
              await ask();
              return told().length === 2 * turn - 1;
            });
            match(
              told().at(-1)!,
              /^cannot reach syslog:.*: (ENOENT|ECONNREFUSED|ECONNRESET|EPIPE); records wait for it as far as/,
            );
            const before = number;
            for (let more = 0; more < 10; more++) await ask();
            await using syslog = await Syslog.listen(transport, where);
            // What waited comes; UDP has lost what it was tried with.
            await until("what waited", () => {
              const numbers = numbersOf(syslog.messages.map(({ text }) => text));
              return numbers.length > 0 && numbers.length >= before + 10 - Math.min(...numbers);
            });
            await until("it to be told", async () => {
              await ask();
              await sleep(20);
              return told().length === 2 * turn;
            });
            strictEqual(told().at(-1), "records are written again");
            if (transport !== "udp") {
              const messages = await syslog.received(number - (turn === 1 ? 0 : before));
              const numbers = numbersOf(messages.map(({ text }) => text)).sort((a, b) => a - b);
              strictEqual(numbers.at(-1), number - 1);
              deepStrictEqual(
                numbers,
                numbers.map((_, index) => numbers[0] + index),
                "none missing, none twice",
              );
            }
            strictEqual(syslog.failure, undefined);
          }
          strictEqual(told().length, 4, told().join("\n"));
        });
      },
    );
  }

  it("that does not read: requests go on, and nothing is lost while there is room", async () => {
    using folder = new Folder();
    await using syslog = await Syslog.listen("unix", folder.at("log.sock"));
    await withSyslog([...ALONE, "--access-log", syslog.place, NOWHERE], async (sluice) => {
      await load(sluice.port(), 0, 1);
      await syslog.received(1);
      syslog.pause(true);
      ok(await load(sluice.port(), 1, 3_000, 200) < 1_000);
      syslog.pause(false);
      deepStrictEqual(
        numbersOf((await syslog.received(3_001)).map(({ text }) => text)),
        Array.from({ length: 3_001 }, (_, number) => number),
      );
      strictEqual(await dropped(sluice), 0);
    });
  });

  it("a name that leads nowhere does not keep Sluice from starting", async () => {
    const words = [...ALONE, "--access-log", "syslog:udp://no-such-host.invalid", NOWHERE];
    await withSyslog(words, async (sluice) => {
      await sluice.line("discovery", /^cannot resolve no-such-host\.invalid/);
      await load(sluice.port(), 0, 1);
      const { message } = await sluice.line("access-log", /^cannot reach/);
      match(message, /^cannot reach syslog:udp:\/\/no-such-host\.invalid: EDESTADDRREQ/);
    });
  });
});

describe("the same on every runtime", () => {
  for (const launcher of ["bun", "deno"] as const) {
    it(`${launcher}: a file that is opened again, a pipe that stops, a syslog, the end`, async () => {
      using folder = new Folder();
      const options = { command: command(launcher) };
      const path = folder.at("access.log");
      await withSluice([...ALONE, "--access-log", path, NOWHERE], async (sluice) => {
        await load(sluice.port(), 0, 100);
        await until("lines", () => linesOf(path).length === 100);
        renameSync(path, `${path}.1`);
        if (launcher === "bun") { // Deno's own use of SIGUSR1 is not ours to test
          sluice.signal("SIGUSR1");
          await until("a new file", () => existsSync(path));
          await load(sluice.port(), 100, 100);
          await until("lines", () => linesOf(path).length === 100);
        }
      }, options);
      using reader = new PipeReader(folder.at("pipe"));
      await withSluice([...ALONE, "--access-log", reader.pipe, NOWHERE], async (sluice) => {
        reader.stop();
        ok(await load(sluice.port(), 0, 2_000, 500) < 2_000);
        reader.goOn();
        await until("lines", () => reader.lines.length === 2_001);
        strictEqual(numbersOf(reader.lines.slice(0, -1)).length, 2_000);
      }, options);
      await using syslog = await Syslog.listen("tcp", 0);
      await withSyslog([...ALONE, "--access-log", syslog.place, NOWHERE], async (sluice) => {
        await load(sluice.port(), 0, 1_000);
      }, options);
      strictEqual(numbersOf((await syslog.received(1_000)).map(({ text }) => text)).length, 1_000);
    });
  }
});
