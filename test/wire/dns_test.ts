// A real DNS server (dnsmasq) behind udp://: questions and answers of every size, health checks that go by UDP, a
// server that is killed and comes back, and a flood of questions from one client.
import { deepStrictEqual, match, ok, strictEqual } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { before, describe, it } from "node:test";
import { Datagrams, freeUdpPort } from "../support/datagrams.ts";
import { needProgram } from "../support/debian.ts";
import { withSluice } from "../support/executable.ts";
import { until } from "../support/waiting.ts";

const DEADLINE_MS = 60_000;
/** TXT of one name, so long that it takes a datagram far beyond an Ethernet frame. */
const LONG = Array.from({ length: 12 }, (_, nth) => String(nth).padStart(2, "0").repeat(120));

/** An address of which nobody else has ports, TCP's included: dnsmasq takes both. */
const IP = "127.77.0.2";

/** A dnsmasq of its own port that tells its name in TXT of id.example. */
class Dns {
  readonly address: string;
  readonly #child: ChildProcess;

  private constructor(port: number, name: string) {
    this.address = `${IP}:${port}`;
    const own = [
      "--no-daemon",
      "--conf-file=/dev/null",
      "--no-resolv",
      "--no-hosts",
      "--user=",
      "--edns-packet-max=8192",
    ];
    const where = [`--port=${port}`, `--listen-address=${IP}`, "--bind-interfaces"];
    const records = [`--txt-record=id.example,${name}`, `--txt-record=long.example,${LONG.join()}`];
    const host = ["--address=/host.example/192.0.2.80", "--address=/host.example/2001:db8::80"];
    this.#child = spawn("dnsmasq", [...own, ...where, ...records, ...host], {
      stdio: "ignore",
      timeout: DEADLINE_MS,
      killSignal: "SIGKILL",
    });
    process.on("exit", () => this.kill());
  }

  static async start(name: string, port?: number): Promise<Dns> {
    const dns = new Dns(port ?? await freeUdpPort(IP), name);
    await dns.answers();
    return dns;
  }

  async answers(): Promise<void> {
    using client = await Datagrams.open();
    const port = Number(this.address.split(":")[1]);
    await until("dnsmasq to answer", () => {
      client.send(question(1, "id.example", TXT), port, IP);
      return client.count > 0;
    });
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }

  [Symbol.dispose](): void {
    this.kill();
  }
}

const A = 1, TXT = 16, AAAA = 28;

/** A question (RFC 1035 section 4.1), which takes answers of 8 KiB (RFC 6891). */
function question(id: number, name: string, type: number): Buffer {
  const labels = name.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)]));
  const head = Buffer.from([id >> 8, id & 0xff, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
  const asked = Buffer.from([0, 0, type, 0, 1]), edns = Buffer.from([0, 0, 41, 32, 0, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([head, ...labels, asked, edns]);
}

function isAnswer(bytes: Buffer, id: number): boolean {
  return bytes.readUInt16BE(0) === id && (bytes[2] & 0x80) !== 0 && (bytes[3] & 0xf) === 0 &&
    bytes.readUInt16BE(6) > 0;
}

async function whoAnswers(client: Datagrams, port: number): Promise<string> {
  client.send(question(7, "id.example", TXT), port);
  const { bytes } = await client.next();
  ok(isAnswer(bytes, 7));
  return /one|two/.exec(bytes.toString("latin1"))?.[0] ?? "nobody";
}

/** The same question as a check sends it. */
const CHECK = [...question(0x4242, "id.example", TXT)].map((byte) =>
  `\\x${byte.toString(16).padStart(2, "0")}`
).join("");

before(() => needProgram("dnsmasq", "dnsmasq-base"), { timeout: 300_000 });

describe("DNS", () => {
  it("questions are answered by each server in turn, each a session that ends with its answer", async () => {
    using one = await Dns.start("one");
    using two = await Dns.start("two");
    const words = ["--reactors", "1", "--responses", "1", `udp://127.0.0.1:0=${one.address},${two.address}`];
    await withSluice(words, async (sluice) => {
      const who: string[] = [];
      for (let turn = 0; turn < 10; turn++) {
        using client = await Datagrams.open();
        who.push(await whoAnswers(client, sluice.port()));
      }
      deepStrictEqual(who, ["one", "two", "one", "two", "one", "two", "one", "two", "one", "two"]);
      for (const record of await sluice.ended(10)) strictEqual(record.reason, "session_done");
    });
  });

  it("addresses of both families, asked at once from one socket, and answers of several KiB", async () => {
    using one = await Dns.start("one");
    await withSluice(["--responses", "1", `udp://:0=${one.address}`], async (sluice) => {
      using client = await Datagrams.open("::1");
      client.send(question(1, "host.example", A), sluice.port(), "::1");
      client.send(question(2, "host.example", AAAA), sluice.port(), "::1");
      const answers = (await client.take(2)).map(({ bytes }) => bytes).sort((a, b) => a[1] - b[1]);
      ok(isAnswer(answers[0], 1) && answers[0].includes(Buffer.from([192, 0, 2, 80])));
      ok(isAnswer(answers[1], 2) && answers[1].includes(Buffer.from("20010db8", "hex")));
      client.send(question(3, "long.example", TXT), sluice.port(), "::1");
      const { bytes } = await client.next();
      ok(bytes.length > 2_900, `${bytes.length} bytes`);
      ok(LONG.every((text) => bytes.includes(text)));
    });
  });

  it("checks go by UDP: a server that is killed gets no questions, and one that is back gets them again", async () => {
    using one = await Dns.start("one");
    const two = await Dns.start("two");
    const health = ["--health-send", CHECK, "--health-expect", "/^BB/"];
    const times = [
      "--health-interval",
      "200ms",
      "--health-timeout",
      "200ms",
      "--health-fall",
      "1",
      "--health-rise",
      "1",
    ];
    const words = [...health, ...times, "--udp-idle", "300ms", "--responses", "1"];
    const targets = `${one.address},${two.address}`;
    await withSluice([...words, `udp://127.0.0.1:0=${targets}`], async (sluice) => {
      const health = (wanted: string) =>
        sluice.until(
          `health to be ${wanted}`,
          ({ upstreams: [{ servers }] }) => servers.map(({ health }) => health).join() === wanted,
        );
      await health("up,up");
      two.kill();
      await health("up,down");
      await sluice.until(
        "the check to be told",
        ({ upstreams: [{ servers: [, { why }] }] }) => why?.reason === "connection_refused",
      );
      for (let turn = 0; turn < 4; turn++) {
        using client = await Datagrams.open();
        strictEqual(await whoAnswers(client, sluice.port()), "one");
      }
      using back = await Dns.start("two", Number(two.address.split(":")[1]));
      strictEqual(back.address, two.address);
      await health("up,up");
      await until("the other to be asked again", async () => {
        using client = await Datagrams.open();
        return await whoAnswers(client, sluice.port()) === "two";
      });
    });
  });

  it("is not checked if nobody says how: servers of UDP need not take connections", async () => {
    using one = await Datagrams.echo();
    await withSluice(["--udp-idle", "200ms", `udp://127.0.0.1:0=${one.address}`], async (sluice) => {
      const { upstreams: [{ servers: [server] }] } = await sluice.status();
      deepStrictEqual([server.health, server.last_check], ["unchecked", null]);
    });
  });

  it("a flood of one client is answered, or counted", async () => {
    using one = await Dns.start("one");
    const words = ["--reactors", "1", "--udp-idle", "1s", "--access-log", "off"];
    await withSluice([...words, `udp://127.0.0.1:0=${one.address}`], async (sluice) => {
      using client = await Datagrams.open();
      const asked = 2_000;
      for (let id = 0; id < asked; id++) client.send(question(id, "host.example", A), sluice.port());
      const { totals } = await sluice.until(
        "all to be accounted for",
        ({ totals: { datagrams } }) =>
          datagrams.up + datagrams.dropped.full + datagrams.dropped.unsent >= asked,
      );
      ok(totals.datagrams.up > 0 && totals.connections.total === 1);
      const metrics = await sluice.metrics();
      const [labels] = [...metrics.keys()].filter((name) =>
        /^sluice_listener_datagrams_total.*"up"/.test(name)
      );
      match(labels, /listener="udp:\/\/127\.0\.0\.1:0"/);
      strictEqual(metrics.get(labels), totals.datagrams.up);
    });
  });
});
