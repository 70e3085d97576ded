// Searches run on the server, and stream what they find. They end when nobody waits any more.

export async function search(api, query, onRecords, signal) {
  const answer = await fetch(`${api}/search?${new URLSearchParams(query)}`, { signal });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? `HTTP ${answer.status}`);
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let last = null;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    const records = lines.filter(Boolean).map((line) => JSON.parse(line));
    if (records.length) {
      last = records.at(-1);
      onRecords(records.filter((one) => "offset" in one), last);
    }
  }
  return last ?? { complete: false };
}

// Says how far a search is.
export function share(record) {
  return record.size ? `${Math.floor((record.read / record.size) * 100)} %` : "";
}
