// A delivery as a command that sends it again, as its sender did. Pure.

export interface CurlTerms {
  url: string;
  headers: readonly { name: string; value: string }[];
  /** The body, where it is text and short enough to stand in a command. */
  body: string | null;
  /** Where the exact bytes are, else. */
  bodyUrl: string;
}

/** Of one connection, or made by curl itself. */
const LEFT_OUT =
  /^(host|connection|content-length|accept|accept-encoding|accept-language|transfer-encoding|keep-alive|te|upgrade|via|forwarded|x-forwarded-.*|x-real-ip|sec-fetch-.*|expect)$/i;

const MASKED = /\(\d+ characters masked\)/;

export function curlOf({ url, headers, body, bodyUrl }: CurlTerms): string {
  const kept = headers.filter(({ name }) => !LEFT_OUT.test(name));
  const sent = kept.filter(({ value }) => !MASKED.test(value));
  const masked = kept.filter(({ value }) => MASKED.test(value));
  const lines = [`curl -sS ${quoted(url)}`, ...sent.map(({ name, value }) => `-H ${quoted(`${name}: ${value}`)}`)];
  lines.push(body === null ? '--data-binary @"$body"' : `--data-raw ${quoted(body)}`);
  const command = lines.join(" \\\n  ");
  const note = masked.map(({ name }) => `# the value of ${name} is secret and not kept: add it yourself\n`).join("");
  return note + (body === null ? `${fetched(bodyUrl)} &&\n${command}` : command);
}

/** The exact bytes, into a file: an answer that says no must not be sent as if it were the body. */
function fetched(url: string): string {
  return `# where Hooklog wants a key: export HOOKLOG_API_KEY with one that may read\nbody=$(mktemp) &&\ncurl -fsS -H "X-Api-Key: $HOOKLOG_API_KEY" -o "$body" ${quoted(url)}`;
}

/** One word for a POSIX shell, whatever is in it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
