// Where the numbers come from: a stream of events for what is live, questions for what stands still.

const AGAIN_MS = 5000;

/** Rows by the start of their window in milliseconds, out of `columns` and arrays, or of objects. */
export function rowsOf(rows, columns) {
  const named = columns ? rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]]))) : rows;
  return new Map(named.map((row) => [Date.parse(row.window_start), row]));
}

/** Ask for JSON; an `Error` with a `status` where it is refused. */
export async function ask(path, signal) {
  const answer = await fetch(path, { signal, headers: { Accept: "application/json" } });
  if (!answer.ok) throw Object.assign(new Error(path), { status: answer.status });
  return answer.json();
}

/** Follow `kpi/events`; `heard(name, data)` is called with each event, `lost()` when the stream breaks. Returns a stop. */
export function follow(query, heard, lost) {
  let source = null;
  let timer = null;
  const open = () => {
    source = new EventSource(`kpi/events${query}`);
    for (const name of ["rows", "overview", "ingest", "trouble"])
      source.addEventListener(name, (event) => heard(name, JSON.parse(event.data)));
    source.addEventListener("error", () => {
      lost();
      // refused, as when it is crowded: a browser does not try that again by itself
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, AGAIN_MS);
    });
  };
  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
