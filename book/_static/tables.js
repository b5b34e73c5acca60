/* Names each cell of a wide table after its column, so that a phone can show a row as a block (see kmgan.css). */
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll(".bd-article table")) {
    const heads = [...table.querySelectorAll("thead tr:last-child > *")].map((head) => head.textContent.trim());
    if (heads.length < 3) continue;
    table.classList.add("labelled");
    table.classList.toggle("wide", heads.length > 6);
    for (const row of table.tBodies[0]?.rows ?? []) {
      [...row.cells].forEach((cell, column) => { if (column && heads[column]) cell.dataset.label = heads[column]; });
    }
  }
});
