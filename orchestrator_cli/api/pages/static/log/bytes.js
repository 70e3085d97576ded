// The bytes of one log, fetched in aligned chunks. The most recently used chunks are cached.

export const CHUNK_BYTES = 256 * 1024;
const MAX_CHUNKS = 16;
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

export class LogError extends Error {
  constructor(message, hint) {
    super(message);
    this.hint = hint;
  }
}

export class LogBytes {
  // `onProblem` is called with what is wrong while a request is retried, and with "" afterwards.
  constructor(api, onProblem) {
    this.api = api;
    this.size = 0;
    this.state = "final";
    this.onProblem = onProblem;
    this.chunks = new Map();
    this.pending = new Map();
  }

  // Fetches a part. Every response also tells the size and the state of the log.
  async fetch(offset, length, wait = 0, signal = undefined) {
    const waiting = wait ? `&wait=${wait}` : "";
    const url = `${this.api}/bytes?offset=${offset}&length=${length}${waiting}`;
    const response = await this.request(url, signal);
    const data = new Uint8Array(await response.arrayBuffer());
    this.size = Math.max(this.size, Number(response.headers.get("X-Log-Size")));
    this.state = response.headers.get("X-Log-State") ?? "final";
    const line = response.headers.get("X-Log-Line");
    const start = Number(response.headers.get("X-Log-Offset") ?? offset);
    const time = response.headers.get("X-Log-Time");
    return { start, data, line: line === null ? null : Number(line), time };
  }

  // Sends a request, and repeats it while the server or the storage is unavailable.
  async request(url, signal) {
    for (let tries = 0; ; tries += 1) {
      let problem;
      try {
        const response = await fetch(url, { signal });
        if (response.ok) {
          this.onProblem("");
          return response;
        }
        if (response.status === 401) location.reload();
        problem = await response.json().catch(() => ({}));
        if (![502, 503, 504].includes(response.status)) {
          throw new LogError(problem.detail ?? `HTTP ${response.status}`, problem.hint);
        }
      } catch (error) {
        if (error.name === "AbortError" || error instanceof LogError) throw error;
      }
      if (tries >= RETRY_MS.length) {
        throw new LogError(problem?.detail ?? "the server does not respond", "reload the page");
      }
      this.onProblem(`${problem?.detail ?? "no response"}; trying again`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS[tries]));
    }
  }

  // Returns {base, data}: bytes that contain a range, from an aligned offset on. They may be more,
  // and end where the log ends.
  async range(start, end) {
    const first = Math.floor(Math.max(0, start) / CHUNK_BYTES);
    const last = Math.max(first, Math.ceil(Math.min(end, this.size) / CHUNK_BYTES) - 1);
    const wanted = [];
    for (let at = first; at <= last; at += 1) wanted.push(this.chunk(at));
    const chunks = await Promise.all(wanted);
    const data = new Uint8Array(chunks.reduce((sum, one) => sum + one.data.length, 0));
    let position = 0;
    for (const one of chunks) {
      data.set(one.data, position);
      position += one.data.length;
    }
    return { base: first * CHUNK_BYTES, data };
  }

  async chunk(at) {
    const cached = this.chunks.get(at);
    const whole = Math.min(CHUNK_BYTES, this.size - at * CHUNK_BYTES);
    if (cached && cached.data.length >= whole) {
      this.chunks.delete(at);
      this.chunks.set(at, cached);
      return cached;
    }
    if (!this.pending.has(at)) {
      const fetched = this.fetch(at * CHUNK_BYTES, CHUNK_BYTES).finally(() => this.pending.delete(at));
      this.pending.set(at, fetched);
    }
    const chunk = await this.pending.get(at);
    this.cache(at, chunk);
    return chunk;
  }

  // Adds new bytes at the end of a growing log to the cache, so that they are not fetched again.
  append({ start, data }) {
    for (let from = 0; from < data.length; ) {
      const at = Math.floor((start + from) / CHUNK_BYTES);
      const before = this.chunks.get(at)?.data ?? new Uint8Array();
      if (at * CHUNK_BYTES + before.length !== start + from) return;
      const more = data.subarray(from, from + CHUNK_BYTES - before.length);
      const whole = new Uint8Array(before.length + more.length);
      whole.set(before);
      whole.set(more, before.length);
      const { line = null, time = null } = this.chunks.get(at) ?? {};
      this.cache(at, { start: at * CHUNK_BYTES, data: whole, line, time });
      from += more.length;
    }
  }

  cache(at, chunk) {
    this.chunks.set(at, chunk);
    for (const old of this.chunks.keys()) {
      if (this.chunks.size <= MAX_CHUNKS) break;
      if (old !== at) this.chunks.delete(old);
    }
    // Now the lines of the chunks that follow can be numbered, up to the first gap.
    for (let next = at; ; next += 1) {
      const here = this.chunks.get(next);
      if (!here) break;
      const before = this.chunks.get(next - 1);
      if (here.line === null && before && before.line !== null && before.data.length === CHUNK_BYTES) {
        here.line = before.line + countNewlines(before.data, 0, before.data.length);
      }
    }
  }

  // Returns how many newlines are before an offset, or null if that is not known.
  lineAt(offset) {
    const at = Math.floor(offset / CHUNK_BYTES);
    const chunk = this.chunks.get(at);
    if (!chunk || chunk.line === null) return null;
    return chunk.line + countNewlines(chunk.data, 0, offset - at * CHUNK_BYTES);
  }

  // Returns about when the bytes at an offset arrived, or null if that is not known.
  timeAt(offset) {
    const time = this.chunks.get(Math.floor(offset / CHUNK_BYTES))?.time;
    return time ? new Date(time) : null;
  }

  // Like lineAt, but asks the server for the number of a chunk that came without one.
  async fetchLineAt(offset) {
    const at = Math.floor(offset / CHUNK_BYTES);
    const chunk = this.chunks.get(at);
    if (!chunk) return null;
    chunk.line = (await this.fetch(at * CHUNK_BYTES, 0)).line;
    return this.lineAt(offset);
  }

  // Returns the start of the cached bytes before an offset, or at least of the chunk before it.
  cachedStart(offset) {
    let at = Math.max(0, Math.floor(offset / CHUNK_BYTES) - 1);
    while (at > 0 && this.chunks.has(at - 1)) at -= 1;
    return at * CHUNK_BYTES;
  }

  // Fetches the whole of a small log, after which all its lines have numbers.
  async fetchWhole() {
    await this.range(0, this.size);
  }
}

export function countNewlines(data, start, end) {
  let count = 0;
  for (let at = data.indexOf(10, start); at >= 0 && at < end; at = data.indexOf(10, at + 1)) count += 1;
  return count;
}

export function formatSize(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let value = bytes;
  for (; value >= 1024 && at < units.length - 1; at += 1) value /= 1024;
  return at ? `${value.toFixed(1)} ${units[at]}` : `${value} B`;
}
