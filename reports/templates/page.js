// Comforts only: the page is whole without them.
(() => {
  "use strict";
  const byId = (id) => document.getElementById(id);

  // The census table follows the pointer over the charts.
  const charts = byId("charts");
  if (charts) {
    const moments = charts.dataset.samples.split(";").map((text) => text.split("|"));
    const [left, right, width] = ["left", "right", "width"].map((name) => Number(charts.dataset[name]));
    const title = byId("moment");
    const rows = [...document.querySelectorAll(".ss tbody tr")].map((row) => row.querySelectorAll(".now"));
    const pointers = [...charts.querySelectorAll(".pointer")];
    const show = (index, x) => {
      const [time, ...sides] = moments[index];
      title.textContent = `at ${time}`;
      sides.forEach((counts, side) =>
        counts.split(",").forEach((count, i) => { rows[i][side].textContent = Number(count).toLocaleString("en"); }));
      pointers.forEach((line) => { line.setAttribute("x1", x); line.setAttribute("x2", x); });
    };
    charts.addEventListener("pointermove", (event) => {
      const svg = event.target.closest("svg:not(.swatch)");
      if (!svg) return;
      const box = svg.getBoundingClientRect();
      const x = Math.min(Math.max((event.clientX - box.left) / box.width * width, left), right);
      show(Math.round((x - left) / (right - left) * (moments.length - 1)), x);
    });
    charts.addEventListener("pointerleave", () => show(moments.length - 1, -10));
  }

  // The connections table is filtered by chips and by words.
  const filters = byId("filters");
  if (filters) {
    const rows = [...byId("rows").tBodies[0].rows];
    const texts = rows.map((row) => `${row.dataset.text} ${row.textContent}`.toLowerCase());
    const search = byId("search");
    const buttons = [...filters.querySelectorAll("button")];
    let chip = "";
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      if (chip) words.push(chip.toLowerCase());
      let shown = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => texts[i].includes(word));
        shown += !row.hidden;
      });
      byId("matches").textContent = words.length ? `${shown} shown` : "";
    };
    buttons.forEach((button) => button.addEventListener("click", () => {
      chip = button.dataset.value;
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      apply();
    }));
    search.addEventListener("input", apply);
    filters.addEventListener("submit", (event) => event.preventDefault());
    filters.hidden = false;
  }

  // A display filter can be copied with one click.
  if (navigator.clipboard) {
    document.querySelectorAll(".filter").forEach((code) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "copied";
      });
      code.after(button);
    });
  }

  // A link to a ladder opens what it is folded into; printing opens everything.
  const open = (element) => {
    for (let at = element; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  };
  const reveal = () => {
    const target = location.hash.length > 1 && byId(location.hash.slice(1));
    if (target) { open(target); target.scrollIntoView(); }
  };
  addEventListener("hashchange", reveal);
  reveal();
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }));
})();
