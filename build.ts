// Builds dist/libsluice.so (ffi/, with gcc) and dist/sluice (src/ and that library in one executable).
//   bun build.ts             both
//   bun build.ts --library   the library only, enough to run the sources
// What is already there from the same inputs is left alone. Each product is made aside and renamed into
// place, so a build may run while the previous executable does, or beside another build.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { GLIBC_FLOOR } from "./src/sys/floor.ts";

/** What Debian must have installed, and why. The static libraries end up inside libsluice.so. */
const PACKAGES: [name: string, why: string][] = [
  ["gcc", "compiles ffi/"],
  ["libc6-dev", "the C library's headers"],
  ["libssl-dev", "TLS; linked statically"],
  ["libpcre2-dev", "regular expressions in health checks; linked statically"],
];

const LIBRARY = "dist/libsluice.so";
const EXECUTABLE = "dist/sluice";
const CFLAGS = [
  ..."-std=gnu11 -O2 -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections".split(" "),
  ..."-Wall -Wextra -Werror -Wformat=2 -Wstrict-prototypes".split(" "),
  ..."-D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection".split(" "),
  // Thread-local variables by descriptor: a few instructions instead of a call to find each.
  ...(process.arch === "arm64"
    ? ["-mbranch-protection=standard"]
    : ["-fcf-protection", "-mtls-dialect=gnu2"]),
];
/** Nothing of the static libraries is exported, nothing is left to be found at run time but libc. */
const LDFLAGS = [
  ..."-shared -s -static-libgcc -Wl,--gc-sections -Wl,--exclude-libs,ALL -Wl,-Bsymbolic".split(" "),
  ..."-Wl,-z,relro,-z,now,-z,noexecstack,-z,defs -Wl,--as-needed -Wl,--build-id=sha1".split(" "),
];
const LIBRARIES = ["-l:libpcre2-8.a", "-l:libssl.a", "-l:libcrypto.a", "-lpthread", "-ldl"];

/**
 * The runtime inside the executable. Bun's ordinary x86-64 build demands AVX2; its baseline build runs
 * on any processor with SSE4.2 and is the same otherwise. On other architectures there is only one.
 */
const BASELINE = "node_modules/@oven/bun-linux-x64-baseline/bin/bun";

/** An executable takes a second to make: an unfinished one this old is nobody's. */
const UNFINISHED_MS = 60_000;

process.chdir(import.meta.dir);
const unknown = Bun.argv.slice(2).filter((option) => option !== "--library");
if (unknown.length > 0) fail(`unknown option ${unknown[0]}; the only one is --library`, 2);
mkdirSync("dist", { recursive: true });
const aside = `dist/.build-${process.pid}`;
process.on("exit", () => rmSync(aside, { recursive: true, force: true }));
sweep();
const built = buildLibrary();
const builtExecutable = Bun.argv.includes("--library") ? false : await buildExecutable();
const products = Bun.argv.includes("--library") ? [LIBRARY] : [LIBRARY, EXECUTABLE];
console.log(products.map(describe).join(", ") + (built || builtExecutable ? "" : " (up to date)"));

/** Removes what killed builds have left. Bun puts its own unfinished work into the current directory. */
function sweep(): void {
  for (const name of readdirSync("dist")) {
    const pid = /^\.build-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) {
      rmSync(`dist/${name}`, { recursive: true, force: true });
    }
  }
  for (const name of readdirSync(".").filter((name) => name.endsWith(".bun-build"))) {
    const modified = statSync(name, { throwIfNoEntry: false })?.mtimeMs ?? Infinity;
    if (Date.now() - modified > UNFINISHED_MS) rmSync(name, { force: true });
  }
}

/** True if there was something to do. */
function buildLibrary(): boolean {
  const packages = installPackages();
  const inputs = hash(CFLAGS, LDFLAGS, LIBRARIES, packages, contents("ffi", /\.[ch]$/));
  if (isFresh(LIBRARY, inputs)) return false;
  const sources = readdirSync("ffi").filter((name) => name.endsWith(".c")).sort().map((name) =>
    `ffi/${name}`
  );
  mkdirSync(aside, { recursive: true });
  const product = `${aside}/libsluice.so`;
  const gcc = run("gcc", ...CFLAGS, ...LDFLAGS, ...sources, "-o", product, ...LIBRARIES);
  if (!gcc.success) fail(`gcc could not build ${LIBRARY}:\n${gcc.output}`);
  if (gcc.output !== "") console.error(gcc.output);
  checkNeeds(product);
  putInPlace(product, LIBRARY, inputs);
  return true;
}

/** The library is opened on other machines: it may need libc alone, and none newer than promised. */
function checkNeeds(product: string): void {
  const { output } = run("objdump", "-p", product);
  const needed = [...output.matchAll(/NEEDED\s+(\S+)/g)].map((match) => match[1]);
  const foreign = needed.filter((name) => !/^(libc\.so\.6|ld-linux-.*)$/.test(name));
  if (foreign.length > 0) {
    fail(`${LIBRARY} would need ${foreign.join(" ")} where it runs: link it statically`);
  }
  const versions = [...output.matchAll(/GLIBC_(\d+)\.(\d+)/g)];
  const [floorMajor, floorMinor] = GLIBC_FLOOR.split(".").map(Number);
  const newer = versions.find(([, major, minor]) =>
    Number(major) > floorMajor || (Number(major) === floorMajor && Number(minor) > floorMinor)
  );
  if (newer !== undefined) {
    fail(`${LIBRARY} would need ${newer[0]}, and src/sys/floor.ts promises ${GLIBC_FLOOR}`);
  }
}

/** True if there was something to do. */
async function buildExecutable(): Promise<boolean> {
  const inputs = hash(Bun.version, readFileSync("build.ts"), readFileSync("package-lock.json"), [
    ...contents("src", /\.(ts|json)$/),
    readFileSync(LIBRARY),
  ]);
  if (isFresh(EXECUTABLE, inputs)) return false;
  const baseline = process.arch === "x64" && existsSync(BASELINE);
  if (process.arch === "x64" && !baseline) {
    console.error(`${BASELINE} is not installed: the executable will need a processor with AVX2`);
  }
  mkdirSync(aside, { recursive: true });
  const product = `${import.meta.dir}/${aside}/sluice`;
  const result = await Bun.build({
    // src/main.ts finds the next two, by an address beside its own: in the executable all that main.ts
    // imports is one module, so that "../worker.ts" leads nowhere. src/sys/library.ts finds the last.
    entrypoints: ["src/main.ts", "src/worker.ts", "src/log_worker.ts", LIBRARY],
    root: "src",
    naming: { asset: "[name].[ext]" },
    // Names are kept: with the source map a stack trace reads like the sources.
    minify: { whitespace: true, syntax: true, identifiers: false },
    sourcemap: "linked",
    // Parsed at build time: half of the time to start was the parser's.
    bytecode: true,
    format: "esm",
    throw: false,
    compile: {
      outfile: product,
      ...(baseline ? { executablePath: BASELINE } : {}),
      // The executable reads its own configuration, never a .env or bunfig.toml that happens to lie about.
      autoloadDotenv: false,
      autoloadBunfig: false,
    },
  });
  if (!result.success) {
    fail(`bun could not build ${EXECUTABLE}:\n${result.logs.map((log) => Bun.inspect(log)).join("\n")}`);
  }
  putInPlace(product, EXECUTABLE, inputs);
  return true;
}

/** Returns what is installed, versions and all: a newer static library is a reason to build again. */
function installPackages(): string {
  const names = PACKAGES.map(([name]) => name);
  if (Bun.which("dpkg-query") === null) return "not Debian";
  const missing = names.filter((name) =>
    run("dpkg-query", "-W", "-f", "${db:Status-Status}", name).output !== "installed"
  );
  if (missing.length > 0) {
    const command = ["apt-get", "install", "-y", "--no-install-recommends", ...missing];
    for (const [name, why] of PACKAGES) if (missing.includes(name)) console.log(`needs ${name}: ${why}`);
    if (process.getuid?.() !== 0) fail(`install them with: sudo ${command.join(" ")}`);
    if (!apt(command) && !(apt(["apt-get", "update"]) && apt(command))) fail(`${command.join(" ")} failed`);
  }
  return run("dpkg-query", "-W", "-f", "${Package} ${Version}\n", ...names).output;
}

function apt([program, ...words]: string[]): boolean {
  const command = [program, "-q", "-o", "DPkg::Lock::Timeout=300", ...words];
  console.log(command.join(" "));
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return Bun.spawnSync(command, { env, stdio: ["ignore", "inherit", "inherit"] }).success;
}

function run(...command: string[]): { success: boolean; output: string } {
  if (Bun.which(command[0]) === null) {
    fail(
      `${command[0]} is not installed; on Debian: apt-get install ${
        PACKAGES.map(([name]) => name).join(" ")
      }`,
    );
  }
  const { success, stdout, stderr } = Bun.spawnSync(command, { stdio: ["ignore", "pipe", "pipe"] });
  return { success, output: stdout.toString() + stderr.toString() };
}

/** The files under a directory whose names match, as alternating path and content, in one order. */
function contents(directory: string, pattern: RegExp): (string | Uint8Array)[] {
  const names = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) =>
    pattern.test(name)
  );
  return names.sort().flatMap((name) => [name, readFileSync(`${directory}/${name}`)]);
}

function hash(...inputs: (string | Uint8Array | (string | Uint8Array)[])[]): string {
  const hasher = new Bun.CryptoHasher("sha256");
  for (const input of inputs.flat()) hasher.update(input).update("\0");
  return hasher.digest("hex");
}

/** The note beside a product names its inputs and the very file, in case two builds raced. */
function note(product: string, inputs: string): string {
  const { ino, mtimeMs, size } = statSync(product);
  return `${inputs} ${ino} ${mtimeMs} ${size}\n`;
}

function isFresh(product: string, inputs: string): boolean {
  const path = `${product}.inputs`;
  return existsSync(product) && existsSync(path) && readFileSync(path, "utf8") === note(product, inputs);
}

function putInPlace(made: string, product: string, inputs: string): void {
  writeFileSync(`${made}.inputs`, note(made, inputs));
  renameSync(made, product);
  renameSync(`${made}.inputs`, `${product}.inputs`);
}

function describe(product: string): string {
  return `${product} ${(statSync(product).size / 1048576).toFixed(1)} MiB`;
}

function fail(message: string, status = 1): never {
  console.error(`build: ${message}`);
  process.exit(status);
}
