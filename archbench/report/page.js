"use strict";

// What every page of ours does; trials.js before it adds what a page of trials can do.

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const button = (text, act, more = {}) => {
  const made = make("button", { type: "button", textContent: text, ...more });
  made.addEventListener("click", act);
  return made;
};
const compared = (first, second, way) => {
  if (first == null || second == null) return (first == null) - (second == null);
  const both = typeof first === "number" && typeof second === "number";
  return way * (both ? first - second : String(first).localeCompare(String(second)));
};

// A button that copies the text of each block of code.
function copyable(root) {
  for (const block of root.querySelectorAll(".code")) {
    const source = block.querySelector("pre");
    const copy = button("Copy", async () => {
      try {
        await navigator.clipboard.writeText(source.textContent);
        copy.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(source);
        copy.textContent = document.execCommand("copy") ? "Copied" : "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 1500);
    });
    block.append(copy);
  }
}

// A button in each heading sorts its table; cells without a value stay at the end.
function sortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const sort = () => {
      const way = heading.ariaSort === "ascending" ? -1 : 1;
      for (const other of headings) other.ariaSort = null;
      heading.ariaSort = way === 1 ? "ascending" : "descending";
      const rows = [...table.tBodies[0].rows].map((row) => {
        const cell = row.cells[column];
        const text = cell.dataset.value ?? cell.textContent.trim();
        return { row, key: text === "" ? null : Number.isNaN(Number(text)) ? text : Number(text) };
      });
      rows.sort((one, other) => compared(one.key, other.key, way));
      table.tBodies[0].append(...rows.map((entry) => entry.row));
    };
    const inner = button("", sort, { className: "heading" });
    inner.append(...heading.childNodes);
    heading.append(inner);
  });
}

function start() {
  copyable(document);
  const data = document.getElementById("trial-data");
  for (const table of document.querySelectorAll("table.sortable")) {
    if (!data || !table.closest("#trials")) sortable(table);
  }
  const listed = document.querySelector("#trials table");
  if (data && listed) explore(JSON.parse(data.textContent), listed);
}

// A link to something folded away unfolds it; on paper everything is unfolded.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
}

// A page that is served asks for itself, and shows what has changed with all that was chosen.
function renew(main, shown) {
  if (!main.dataset.renewed) return;
  const timer = setInterval(async () => {
    if (document.activeElement.matches("input, select")) return; // being filled in
    const answer = await fetch(location.pathname).catch(() => null); // it may be back later
    if (!answer?.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.querySelector("main");
    if (next.innerHTML === shown) return;
    shown = next.innerHTML;
    const unfolded = [...document.querySelectorAll("details[open][id]")].map(({ id }) => id);
    if (!next.dataset.renewed) clearInterval(timer);
    main.replaceChildren(...next.childNodes);
    start();
    for (const id of unfolded) document.getElementById(id)?.setAttribute("open", "");
  }, 1000 * main.dataset.renewed);
}

renew(document.querySelector("main"), document.querySelector("main").innerHTML);
start();
addEventListener("hashchange", unfold);
unfold();
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
