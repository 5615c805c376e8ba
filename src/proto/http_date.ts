// Dates: as HTTP writes them (RFC 9110 section 5.6.7), "Sun, 06 Nov 1994 08:49:37 GMT", and as logs do
// (RFC 3339), "1994-11-06T08:49:37.123", and web servers' logs, "06/Nov/1994:08:49:37". One is made a second, and printed as often as it is asked for.
import { type Text, text } from "./http1_print.ts";

const DAY_MS = 86_400_000;
const DAYS = "ThuFriSatSunMonTueWed"; // the epoch was a Thursday
const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";

const date: Text = text("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
const WEEKDAY = 6;
const DAY = 11;
const MONTH = 14;
const YEAR = 18;
const HOUR = 23;
let madeSecond = 0;

const stamp: Text = text("1970-01-01T00:00:00.000");
const STAMP_MS = 20;
let stampedMs = 0;

const clfStamp: Text = text("01/Jan/1970:00:00:00");
const CLF_MONTH = 3;
const CLF_YEAR = 7;
const CLF_HOUR = 12;
let clfSecond = 0;

/** The Date field of a moment, its CRLF included. Valid until another second is asked for. */
export function dateField(wallMs: number): Text {
  const second = Math.floor(wallMs / 1000);
  if (second === madeSecond) return date;
  madeSecond = second;
  const days = Math.floor(wallMs / DAY_MS);
  letters(date, WEEKDAY, DAYS, days % 7);
  civil(days);
  digits(date, DAY, day);
  letters(date, MONTH, MONTHS, month);
  digits(date, YEAR, Math.floor(year / 100));
  digits(date, YEAR + 2, year % 100);
  const ofDay = second - days * 86_400;
  digits(date, HOUR, Math.floor(ofDay / 3600));
  digits(date, HOUR + 3, Math.floor(ofDay / 60) % 60);
  digits(date, HOUR + 6, ofDay % 60);
  return date;
}

/** The stamp of a moment, to the millisecond, without its zone. Valid until another is asked for. */
export function stampOf(wallMs: number): Text {
  if (wallMs < stampedMs || wallMs >= stampedMs + 1000) stampSecond(Math.floor(wallMs / 1000));
  const ms = (wallMs - stampedMs) | 0;
  const tens = (ms / 10) | 0, hundreds = (ms / 100) | 0;
  stamp.bytes[STAMP_MS] = 0x30 + hundreds;
  stamp.bytes[STAMP_MS + 1] = 0x30 + tens - hundreds * 10;
  stamp.bytes[STAMP_MS + 2] = 0x30 + ms - tens * 10;
  return stamp;
}

function stampSecond(second: number): void {
  stampedMs = second * 1000;
  const days = Math.floor(stampedMs / DAY_MS);
  civil(days);
  const ofDay = second - days * 86_400;
  digits(stamp, 0, Math.floor(year / 100));
  digits(stamp, 2, year % 100);
  digits(stamp, 5, month + 1);
  digits(stamp, 8, day);
  digits(stamp, 11, Math.floor(ofDay / 3600));
  digits(stamp, 14, Math.floor(ofDay / 60) % 60);
  digits(stamp, 17, ofDay % 60);
}

/** The stamp of a moment in the common log format, without its zone. Valid until another is asked for. */
export function clfStampOf(wallMs: number): Text {
  const second = Math.floor(wallMs / 1000);
  if (second === clfSecond) return clfStamp;
  clfSecond = second;
  const days = Math.floor(wallMs / DAY_MS), ofDay = second - days * 86_400;
  civil(days);
  digits(clfStamp, 0, day);
  letters(clfStamp, CLF_MONTH, MONTHS, month);
  digits(clfStamp, CLF_YEAR, Math.floor(year / 100));
  digits(clfStamp, CLF_YEAR + 2, year % 100);
  digits(clfStamp, CLF_HOUR, Math.floor(ofDay / 3600));
  digits(clfStamp, CLF_HOUR + 3, Math.floor(ofDay / 60) % 60);
  digits(clfStamp, CLF_HOUR + 6, ofDay % 60);
  return clfStamp;
}

/** What `civil` found: the day of the month, the month from 0, the year. */
let day = 0;
let month = 0;
let year = 0;

/** Day, month and year of a day since the epoch: years are counted from March, in eras of 400. */
function civil(days: number): void {
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097), ofEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (ofEra - Math.floor(ofEra / 1_460) + Math.floor(ofEra / 36_524) - Math.floor(ofEra / 146_096)) / 365,
  );
  const ofYear = ofEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * ofYear + 2) / 153);
  month = fromMarch < 10 ? fromMarch + 2 : fromMarch - 10;
  year = yearOfEra + era * 400 + (month < 2 ? 1 : 0);
  day = ofYear - Math.floor((153 * fromMarch + 2) / 5) + 1;
}

function letters(into: Text, at: number, names: string, index: number): void {
  for (let letter = 0; letter < 3; letter++) into.bytes[at + letter] = names.charCodeAt(3 * index + letter);
}

function digits(into: Text, at: number, value: number): void {
  into.bytes[at] = 0x30 + Math.floor(value / 10);
  into.bytes[at + 1] = 0x30 + value % 10;
}
