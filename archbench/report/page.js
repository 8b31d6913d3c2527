"use strict";

// A button to copy the text of each block of code.
for (const block of document.querySelectorAll(".code")) {
  const source = block.querySelector("pre");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  block.append(button);
}

// A click on a heading sorts its table; cells without a value stay at the end.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.classList.add("sortable");
    heading.tabIndex = 0;
    const sort = () => {
      const way = heading.ariaSort === "ascending" ? -1 : 1;
      for (const other of headings) other.ariaSort = null;
      heading.ariaSort = way === 1 ? "ascending" : "descending";
      const rows = [...table.tBodies[0].rows].map((row) => {
        const cell = row.cells[column];
        const text = cell.dataset.value ?? cell.textContent.trim();
        return { row, text, number: text === "" ? NaN : Number(text) };
      });
      rows.sort((first, second) => {
        if (first.text === "" || second.text === "") return (first.text === "") - (second.text === "");
        const both = !Number.isNaN(first.number) && !Number.isNaN(second.number);
        return way * (both ? first.number - second.number : first.text.localeCompare(second.text));
      });
      table.tBodies[0].append(...rows.map((entry) => entry.row));
    };
    heading.addEventListener("click", sort);
    heading.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
  });
}

// A link to something folded away unfolds it; on paper everything is unfolded.
const unfold = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", unfold);
unfold();
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
