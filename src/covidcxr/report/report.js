"use strict";
const every = (selector, within = document) => [...within.querySelectorAll(selector)];

// Enlarge a figure by click, Enter or Space (its card is a button); Escape or a click closes.
const viewer = document.getElementById("viewer");
for (const card of every(".card")) {
  card.addEventListener("click", () => {
    const image = viewer.querySelector("img");
    image.src = card.querySelector("img").src;
    image.alt = card.querySelector("img").alt;
    const caption = card.closest("figure").querySelector("figcaption").cloneNode(true);
    caption.querySelector(".download")?.remove();
    viewer.querySelector("p").textContent = caption.textContent.trim();
    viewer.showModal();
  });
}
viewer.addEventListener("click", (event) => {
  if (!event.target.closest("p")) viewer.close();
});

// A link to something folded unfolds it and what it stands in.
const unfold = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  for (let at = target; at; at = at.parentElement) if (at instanceof HTMLDetailsElement) at.open = true;
  if (target) target.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();
const all = document.getElementById("unfold");
all.hidden = false;
all.addEventListener("click", () => {
  const open = all.textContent === "Open all";
  for (const part of every("details")) part.open = open;
  all.textContent = open ? "Close all" : "Open all";
});

// The definition of a term on hover, focus or tap; Escape hides it.
const box = document.getElementById("definition");
const define = (term) => {
  box.textContent = document.getElementById(term.hash.slice(1)).nextElementSibling.textContent;
  box.hidden = false;
  const place = term.getBoundingClientRect();
  const left = Math.min(place.left, document.documentElement.clientWidth - box.offsetWidth - 8);
  box.style.left = `${Math.max(8, left) + scrollX}px`;
  box.style.top = `${place.bottom + scrollY + 6}px`;
};
const hide = () => { box.hidden = true; };
for (const term of every("a.term")) {
  term.setAttribute("aria-describedby", "definition");
  for (const event of ["mouseenter", "focus"]) term.addEventListener(event, () => define(term));
  for (const event of ["mouseleave", "blur"]) term.addEventListener(event, hide);
  term.addEventListener("click", (event) => { event.preventDefault(); define(term); });
}
addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

// Tables sort by the button of a column, and filter by what names a model.
const number = (text) => Number.parseFloat(text.replaceAll(/[\u202f\u2060]/g, "").replace("\u2212", "-"));
const compare = (a, b) => {
  const [x, y] = [number(a), number(b)];
  if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a.localeCompare(b);
  return x - y;
};
const FILTERS = ["Backbone", "Augmentation", "Classifier", "Set", "Class"];
for (const table of every("table.sortable")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const filters = document.createElement("div");
  filters.className = "filters";
  const chosen = new Map();
  every("thead tr:last-child th", table).forEach((head, column) => {
    const label = head.textContent.trim();
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "↕";
    button.setAttribute("aria-label", `Sort by ${label}`);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of every("th", table)) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((a, b) => (down ? -1 : 1) * compare(a.cells[column].textContent, b.cells[column].textContent));
      body.append(...rows);
    });
    head.append(button);
    const values = [...new Set(rows.map((row) => row.cells[column].textContent))];
    if (rows.length < 6 || values.length < 2 || !FILTERS.includes(label)) return;
    const field = document.createElement("label");
    const select = document.createElement("select");
    select.append(...["all", ...values].map((value) => new Option(value)));
    field.append(`${label} `, select);
    select.addEventListener("change", () => {
      chosen.set(column, select.selectedIndex ? select.value : null);
      for (const row of rows) {
        row.hidden = [...chosen].some(([at, value]) => value !== null && row.cells[at].textContent !== value);
      }
    });
    filters.append(field);
  });
  if (filters.childElementCount) table.closest(".scroll").before(filters);
}
