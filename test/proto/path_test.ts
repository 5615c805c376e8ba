import { strictEqual } from "node:assert/strict";
import { describe, it } from "node:test";
import { BadPath, decodePath, isDecoded } from "../../src/proto/path.ts";

function bytesOf(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function textOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

/** The decoded path, written between other bytes that must stay; or why not. */
function decode(path: string): string | BadPath {
  const bytes = bytesOf(`??${path}?x=%zz`), out = new Uint8Array(path.length + 9).fill(0x21);
  const end = decodePath(bytes, 2, 2 + path.length, out, 4);
  strictEqual(textOf(out.subarray(0, 4)), "!!!!", "nothing is written before");
  strictEqual(textOf(out.subarray(4 + Math.max(path.length, 1))).replaceAll("!", ""), "", "or behind");
  return end < 0 ? end : textOf(out.subarray(4, end));
}

describe("decodePath", () => {
  const cases: [path: string, want: string | BadPath, why: string][] = [
    ["/", "/", "the root"],
    ["", "/", "absolute form without a path"],
    ["*", "*", "OPTIONS * is no path"],
    ["a/../..", "a/../..", "nor is an authority: it stays as it is"],
    ["/a/b", "/a/b", "nothing to do"],
    ["/A/b;c=1", "/A/b;c=1", "case and parameters stay"],
    ["/a//b///", "/a//b///", "slashes are not merged"],
    ["/%61%62", "/ab", "letters are decoded"],
    ["/%7Euser", "/~user", "so is what need not have been escaped"],
    ["/caf%C3%A9", "/caf\xc3\xa9", "UTF-8 is bytes"],
    ["/%c3%28", "/\xc3(", "and so is what is not UTF-8"],
    ["/a%20b", "/a b", "a space"],
    ["/a%3Fb%23", "/a?b#", "no query begins here"],
    ["/%0d%0a", "/\r\n", "controls: whoever writes a path encodes it"],
    ["/a%2Fb", "/a%2Fb", "an encoded slash never separates"],
    ["/a%2fb", "/a%2Fb", "in one spelling"],
    ["/a%5Cb", "/a%5Cb", "nor does a backslash"],
    ["/a%5cb", "/a%5Cb", "in one spelling"],
    ["/a\\b", "/a\\b", "one that came as such is a character"],
    ["/a%25b", "/a%25b", "an encoded percent sign stays"],
    ["/a%252Fb", "/a%252Fb", "or decoding twice would make a slash of it"],
    ["/a%2525", "/a%2525", "decoding is done once"],
    ["/.", "/", "dot at the end"],
    ["/./", "/", "dot"],
    ["/a/./b", "/a/b", "dot in the middle"],
    ["/a/.", "/a/", "RFC 3986: the slash stays"],
    ["/a/..", "/", "dots at the end"],
    ["/a/../", "/", "dots"],
    ["/a/b/../c", "/a/c", "dots in the middle"],
    ["/a/b/../../c", "/c", "twice"],
    ["/a/./../b", "/b", "both"],
    ["/a/b/..", "/a/", "the parent"],
    ["/%2e/a", "/a", "spelled otherwise"],
    ["/a/%2e%2e/b", "/b", "spelled otherwise"],
    ["/a/.%2E/b", "/b", "half and half"],
    ["/a/%2e%2e", "/", "at the end"],
    ["/a/%252e%252e/b", "/a/%252e%252e/b", "encoded twice: no dots"],
    ["/a/..;/b", "/a/..;/b", "is none of dots"],
    ["/.../b", "/.../b", "three dots are a name"],
    ["/.a/..b/c.", "/.a/..b/c.", "dots in names"],
    ["/..", BadPath.AboveRoot, "nothing is above the root"],
    ["/../", BadPath.AboveRoot, "nothing is above the root"],
    ["/../etc/passwd", BadPath.AboveRoot, "nothing is above the root"],
    ["/a/../..", BadPath.AboveRoot, "not after going down either"],
    ["/a/../../b", BadPath.AboveRoot, "not after going down either"],
    ["/%2e%2e/b", BadPath.AboveRoot, "however it is spelled"],
    ["/./../b", BadPath.AboveRoot, "a dot is no step down"],
    ["/a//../b", BadPath.Ambiguous, "who merges slashes takes away another segment"],
    ["/a//b/../..", BadPath.Ambiguous, "not at once either"],
    ["//..", BadPath.Ambiguous, "at the root"],
    ["/a%2Fb/..", BadPath.Ambiguous, "who decodes first takes away half of it"],
    ["/a%5cb/../c", BadPath.Ambiguous, "so with a backslash"],
    ["/a\\b/../c", BadPath.Ambiguous, "as it is"],
    ["/a/..%2Fb", BadPath.Ambiguous, "who decodes first has dots here"],
    ["/a/..%2fb/c", BadPath.Ambiguous, "spelled otherwise"],
    ["/a/%2e%2e%2fb", BadPath.Ambiguous, "and otherwise"],
    ["/a/b%2F..", BadPath.Ambiguous, "at the end"],
    ["/a/b%2F..%5C", BadPath.Ambiguous, "between two"],
    ["/..\\b", BadPath.Ambiguous, "who takes backslashes for slashes"],
    ["/a\\..\\b", BadPath.Ambiguous, "has dots here"],
    ["/a%2F...", "/a%2F...", "three dots are a name"],
    ["/a%2F..b%2Fc", "/a%2F..b%2Fc", "so are these"],
    ["/a%2Fb/.", "/a%2Fb/", "one dot leaves everything"],
    ["/a%252F../b", "/a%252F../b", "encoded twice"],
    ["/a%00b", BadPath.Nul, "ends a string in C"],
    ["/%00", BadPath.Nul, "ends a string in C"],
    ["/%", BadPath.Escape, "no digits"],
    ["/%4", BadPath.Escape, "one digit"],
    ["/%zz", BadPath.Escape, "not hexadecimal"],
    ["/%4g", BadPath.Escape, "not hexadecimal"],
    ["/%g4", BadPath.Escape, "not hexadecimal"],
    ["/%-1", BadPath.Escape, "no sign"],
    ["/%u0041", BadPath.Escape, "another century's"],
    ["/a%4/b", BadPath.Escape, "cut off by a slash"],
    ["/%%41", BadPath.Escape, "no escape of an escape"],
  ];
  for (const [path, want, why] of cases) {
    it(`${path === "" ? "(nothing)" : path}: ${why}`, () => strictEqual(decode(path), want));
  }

  it("is the same when done twice", () => {
    for (const [path, want] of cases) {
      if (typeof want === "string" && want.startsWith("/") && !/[\r\n]/.test(want)) {
        strictEqual(decode(want), want, path);
      }
    }
  });
});

describe("isDecoded", () => {
  const cases: [path: string, want: boolean, why: string][] = [
    ["/", true, "the root"],
    ["/a/b.html", true, "a dot in a name"],
    ["", false, "empty is not what it stands for"],
    ["/a%20", false, "an escape"],
    ["/a/.b", false, "may be a dot segment: decoding tells"],
    ["/a/..", false, "dot segment"],
    ["/a\\b", false, "a backslash: decoding tells"],
    ["*", true, "asterisk"],
  ];
  for (const [path, want, why] of cases) {
    it(`${path}: ${why}`, () => strictEqual(isDecoded(bytesOf(`.${path}%`), 1, 1 + path.length), want));
  }

  it("is true only of what decodes to itself", () => {
    const alphabet = ["/", ".", "%", "2", "e", "a", "5"];
    let told = 0;
    for (let number = 0; number < 7 ** 6; number++) {
      let path = "/";
      for (let rest = number; rest > 0; rest = Math.floor(rest / 7)) path += alphabet[rest % 7];
      if (!isDecoded(bytesOf(path), 0, path.length)) continue;
      told++;
      if (decode(path) !== path) strictEqual(decode(path), path);
    }
    strictEqual(told > 1000, true);
  });
});
