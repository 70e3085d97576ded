// What a script adds to the pages: local times, copy buttons, rows that update, older rows.

function showLocalTimes(root) {
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

function enableCopyButtons(root) {
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

// An external viewer fetches the file itself, so its link needs the absolute URL of the file.
function linkViewers(root) {
  for (const link of root.querySelectorAll("a[data-viewer]")) {
    link.href = link.dataset.viewer + encodeURIComponent(new URL(link.dataset.file, location.href));
    link.hidden = false;
  }
}

async function fetchPage(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" } });
  if (!response.ok || response.redirected) throw new Error("not the page");
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

const REFRESH_MS = 5000;

// Inserts a row so that the newest come first. An id begins with its time.
function insertInOrder(body, row) {
  body.insertBefore(row, [...body.rows].find((other) => other.id < row.id) ?? null);
}

// Updates the rows of running executions while the page is visible.
function followRunning(table) {
  let isFetching = false;
  setInterval(async () => {
    const running = table.querySelector("tr.is-running");
    if (!running || document.visibilityState !== "visible" || isFetching) return;
    isFetching = true;
    try {
      const page = await fetchPage(location.href);
      for (const fresh of page.querySelectorAll("#executions tbody tr[id]")) {
        showLocalTimes(fresh);
        const known = document.getElementById(fresh.id);
        if (known && known.className !== fresh.className) known.replaceWith(document.adoptNode(fresh));
        else if (known && fresh.classList.contains("is-running")) known.cells[3].replaceWith(document.adoptNode(fresh.cells[3]));
        else if (!known) insertInOrder(table.tBodies[0], document.adoptNode(fresh));
      }
    } catch {
      // The rows stay as they are, and the next attempt may succeed.
    }
    isFetching = false;
  }, REFRESH_MS);
}

const ENOUGH_ROWS = 50;
const MAX_PAGES = 20;

// The server limits the requests of a page, so a page may have few rows that match. Adds the rows
// of older pages until there are enough.
async function addOlderRows(table) {
  for (let pages = 0; pages < MAX_PAGES; pages += 1) {
    const older = document.querySelector(".older");
    if (!older || table.tBodies[0].rows.length >= ENOUGH_ROWS) return;
    older.setAttribute("aria-busy", "true");
    const page = await fetchPage(older.querySelector("a").href);
    showLocalTimes(page);
    const rows = page.querySelectorAll("#executions tbody tr");
    if (rows.length) document.getElementById("none")?.remove();
    table.tBodies[0].append(...[...rows].map((row) => document.adoptNode(row)));
    const next = page.querySelector(".older");
    if (next) older.replaceWith(document.adoptNode(next));
    else older.remove();
  }
}

// The fragment of a link names lines of a log and never reaches the server. Passes it on through
// the login form.
function keepFragment(form) {
  form.action = form.getAttribute("action") + location.hash;
}

showLocalTimes(document);
enableCopyButtons(document);
document.querySelectorAll("form[data-login]").forEach(keepFragment);
linkViewers(document);
const table = document.getElementById("executions");
if (table) {
  followRunning(table);
  addOlderRows(table).catch(() => {});
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
    const isInUse = document.activeElement && document.activeElement !== document.body;
    if (document.visibilityState === "visible" && !isInUse) location.reload();
  }, 4 * REFRESH_MS);
}
