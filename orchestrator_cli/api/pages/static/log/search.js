// Searches a log on the server, which streams the hits. Aborting the request ends the search.

// Calls `onRecords` with the hits and the last record of each block that arrives. Returns the last
// record of all, which says in `complete` whether the whole log was searched.
export async function search(api, query, onRecords, signal) {
  const response = await fetch(`${api}/search?${new URLSearchParams(query)}`, { signal });
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Error(problem.detail ?? `HTTP ${response.status}`);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
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

// Returns how far a search is, in percent.
export function formatProgress(record) {
  return record.size ? `${Math.floor((record.read / record.size) * 100)} %` : "";
}
