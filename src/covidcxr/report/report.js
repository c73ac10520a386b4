"use strict";
// Enlarge a figure by click, Enter or Space (its card is a button); Escape or a click closes.
const viewer = document.getElementById("viewer");
for (const card of document.querySelectorAll(".card")) {
  card.addEventListener("click", () => {
    const figure = card.closest("figure");
    const image = viewer.querySelector("img");
    image.src = card.querySelector("img").src;
    image.alt = card.querySelector("img").alt;
    const caption = figure.querySelector("figcaption").cloneNode(true);
    caption.querySelector(".download")?.remove();
    viewer.querySelector("p").textContent = caption.textContent.trim();
    viewer.showModal();
  });
}
viewer.addEventListener("click", (event) => {
  if (!event.target.closest("p")) viewer.close();
});
// A link to something folded unfolds it.
const unfold = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", unfold);
unfold();
