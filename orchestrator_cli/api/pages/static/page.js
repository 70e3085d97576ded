// What a page can do better with a script: local times, copying, rows that go on, older rows.

function localTimes(root) {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    const instant = new Date(time.dateTime);
    if (Number.isNaN(instant.getTime())) continue;
    time.title = time.textContent;
    time.textContent = format.format(instant);
  }
}

export async function copyText(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function copying(root) {
  for (const button of root.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await copyText(button.dataset.copy);
      const before = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = before), 1500);
    });
  }
}

// A viewer elsewhere fetches the file itself, so it needs the whole address as a browser sees it.
function linkViewers(root) {
  for (const link of root.querySelectorAll("a[data-viewer]")) {
    link.href = link.dataset.viewer + encodeURIComponent(new URL(link.dataset.file, location.href));
    link.hidden = false;
  }
}

async function fetchPage(address) {
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) throw new Error("not the page");
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

const REFRESH_MS = 5000;

// The newest come first, and an id begins with its time.
function insertInOrder(body, row) {
  body.insertBefore(row, [...body.rows].find((other) => other.id < row.id) ?? null);
}

// Rows of executions that run move on while somebody looks.
function followRunning(table) {
  let asked = false;
  setInterval(async () => {
    const running = table.querySelector("tr.is-running");
    if (!running || document.visibilityState !== "visible" || asked) return;
    asked = true;
    try {
      const page = await fetchPage(location.href);
      for (const fresh of page.querySelectorAll("#executions tbody tr[id]")) {
        localTimes(fresh);
        const known = document.getElementById(fresh.id);
        if (known && known.className !== fresh.className) known.replaceWith(document.adoptNode(fresh));
        else if (known && fresh.classList.contains("is-running")) known.cells[3].replaceWith(document.adoptNode(fresh.cells[3]));
        else if (!known) insertInOrder(table.tBodies[0], document.adoptNode(fresh));
      }
    } catch {
      // The next time may work; the rows stay as they were.
    }
    asked = false;
  }, REFRESH_MS);
}

const ENOUGH_ROWS = 50;
const MOST_PAGES = 20;

// A page costs so many requests and no more. Few rows that fit: look further back by itself.
async function lookFurther(table) {
  for (let pages = 0; pages < MOST_PAGES; pages += 1) {
    const older = document.querySelector(".older");
    if (!older || table.tBodies[0].rows.length >= ENOUGH_ROWS) return;
    older.setAttribute("aria-busy", "true");
    const page = await fetchPage(older.querySelector("a").href);
    localTimes(page);
    const rows = page.querySelectorAll("#executions tbody tr");
    if (rows.length) document.getElementById("none")?.remove();
    table.tBodies[0].append(...[...rows].map((row) => document.adoptNode(row)));
    const next = page.querySelector(".older");
    if (next) older.replaceWith(document.adoptNode(next));
    else older.remove();
  }
}

// The server never sees which lines a link means; a browser carries that through the form.
function keepPlace(form) {
  form.action = form.getAttribute("action") + location.hash;
}

localTimes(document);
copying(document);
document.querySelectorAll("form[data-login]").forEach(keepPlace);
linkViewers(document);
const table = document.getElementById("executions");
if (table) {
  followRunning(table);
  lookFurther(table).catch(() => {});
}
const compare = document.querySelector("form[data-compare]");
if (compare) {
  compare.hidden = false;
  compare.addEventListener("submit", (event) => {
    event.preventDefault();
    const other = compare.elements.other.value.trim();
    if (other) location.href = compare.dataset.compare + encodeURIComponent(other);
  });
}
if (document.querySelector(".headline.is-running")) {
  setInterval(() => {
    const busy = document.activeElement && document.activeElement !== document.body;
    if (document.visibilityState === "visible" && !busy) location.reload();
  }, 4 * REFRESH_MS);
}
