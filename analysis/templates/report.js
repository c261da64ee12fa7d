"use strict";
// Tables sort by a click on a head and filter by words; tasks where nothing moves can be hidden.
// Without script the page says the same.
const number = text => {
  const found = text.replace(/[,\s]/g, "").replace(/−/g, "-").match(/^[+]?(-?\d+(?:\.\d+)?)/);
  return found ? Number(found[1]) : null;
};
const shown = cell => (cell.firstElementChild?.tagName === "B" ? cell.firstElementChild
  : cell.firstChild)?.textContent ?? "";
const cellAt = (row, fromRight) => row.cells[row.cells.length - fromRight];
const still = document.querySelector(".still");
const tasks = new Set(still ? JSON.parse(still.dataset.tasks) : []);

for (const table of document.querySelectorAll(".scroll > table:not(.words)")) {
  const bodies = [...table.tBodies].map(body => [body, [...body.rows]]);
  const rows = bodies.flatMap(([, some]) => some);
  if (!table.tHead || rows.length < 4) continue;
  const heads = [...table.tHead.rows[0].cells];
  const named = row => `${row.dataset.group ?? ""} ${row.textContent}`.toLowerCase();
  let sorted = null, words = [];
  const refresh = () => {
    table.classList.toggle("flat", Boolean(sorted || words.length));
    for (const [body, some] of bodies) body.append(...some);
    if (sorted) {
      const [place, way] = sorted;
      const key = row => place === heads.length ? named(row) : shown(cellAt(row, place));
      const found = rows.map(row => [key(row), row]);
      const numbers = found.some(([text]) => number(text) !== null);
      found.sort(([one], [other]) => {
        if (!numbers) return way * one.localeCompare(other, undefined, {numeric: true});
        const [first, second] = [number(one), number(other)];
        if (first === null || second === null) return (first === null) - (second === null);
        return way * (first - second);
      });
      bodies[0][0].append(...found.map(([, row]) => row));
    }
    for (const row of rows) row.classList.toggle("out", !words.every(word => named(row).includes(word)));
    heads.forEach((head, at) => head.setAttribute("aria-sort", !sorted
      || heads.length - at !== sorted[0] ? "none" : sorted[1] > 0 ? "ascending" : "descending"));
  };
  heads.forEach((head, at) => {
    const place = heads.length - at, button = document.createElement("button");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.classList.contains("number") ? -1 : 1;
      sorted = sorted?.[0] !== place ? [place, up] : sorted[1] === up ? [place, -up] : null;
      refresh();
    });
  });
  if (rows.length > 7) {
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = "Filter rows";
    field.setAttribute("aria-label", "Show only rows with these words");
    field.addEventListener("input", () => {
      words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      refresh();
    });
    table.before(field);
  }
}

if (still) {
  const mine = text => [...tasks].some(task => text === task || text.startsWith(`${task} on `)
    || text.startsWith(`${task}, `));
  still.hidden = false;
  still.querySelector("input").addEventListener("change", event => {
    const hide = event.target.checked;
    for (const table of document.querySelectorAll("table")) {
      const heads = table.tHead ? [...table.tHead.rows[0].cells] : [];
      const titled = head => (head.querySelector("button") ?? head).firstChild?.textContent ?? "";
      heads.forEach((head, at) => {
        if (!mine(titled(head))) return;
        head.classList.toggle("gone", hide);
        for (const row of table.querySelectorAll("tbody tr"))
          cellAt(row, heads.length - at)?.classList.toggle("gone", hide);
      });
      for (const row of table.querySelectorAll("tbody tr"))
        if (mine(row.querySelector("th[scope=row]")?.textContent ?? "")) row.classList.toggle("gone", hide);
    }
    for (const head of document.querySelectorAll(".prompt h4, summary, h3"))
      if (mine(head.textContent.trim()))
        (head.closest(".prompt, details") ?? head).classList.toggle("gone", hide);
  });
}
