// What may be wrong with a PROXY header: each distinct flaw has a code, and a sentence for the log. Numbers are
// kept in logs: new ones come at the end.

export const enum ProxyFlaw {
  None,
  ControlCharacter,
  BadProtocol,
  BadAddress,
  BadPort,
  BadLine,
  BadVersion,
  BadCommand,
  BadFamily,
  OtherTransport,
  ShortAddresses,
  BadTlv,
  BadChecksum,
  LongUniqueId,
  Cut,
  Count,
}

/** By flaw. */
export const PROXY_FLAWS: readonly string[] = [
  "",
  "The line of version 1 holds a control character, or a CR or LF alone.",
  "The protocol of version 1 is none of TCP4, TCP6 and UNKNOWN.",
  "An address of version 1 is none of its protocol.",
  "A port of version 1 is no number from 0 to 65535.",
  "The line of version 1 has not five words with one space between them.",
  "The version is neither 1 nor 2.",
  "The command of version 2 is neither LOCAL nor PROXY.",
  "The family or the transport of version 2 is unknown.",
  "The transport of version 2 is not the one that it came by.",
  "The header of version 2 is shorter than the addresses of its family.",
  "The fields (TLV) of version 2 do not fit its length, or one of them its own.",
  "The checksum (CRC32c) of version 2 is wrong.",
  "The unique id of version 2 is longer than 128 bytes.",
  "The datagram ends before its header does.",
];
