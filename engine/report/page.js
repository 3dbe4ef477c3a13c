"use strict";
(() => {
  const root = document.documentElement;

  // Light, dark, or as the system has it: colours are CSS variables, so nothing is drawn again.
  const names = { "": "Theme: system", light: "Theme: light", dark: "Theme: dark" };
  const next = { "": "light", light: "dark", dark: "" };
  const theme = document.getElementById("theme");
  const show = (value) => {
    if (value) root.dataset.theme = value;
    else delete root.dataset.theme;
    theme.textContent = names[value];
  };
  let chosen = "";
  try {
    chosen = localStorage.getItem("emer-theme") || "";
  } catch (_) {
    chosen = "";  // pages opened from a file may have no storage
  }
  show(chosen in names ? chosen : "");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const value = next[root.dataset.theme || ""];
    show(value);
    try {
      localStorage.setItem("emer-theme", value);
    } catch (_) {
      return;
    }
  });

  // A drawing by itself knows no variables of the page.
  const literal = (svg) => {
    const style = getComputedStyle(root);
    return svg.replace(/var\((--[a-z0-9-]+)\)/g, (_, name) => style.getPropertyValue(name).trim());
  };
  const save = (name, text) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
    link.download = name + ".svg";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  const config = JSON.parse(document.getElementById("theme-config").textContent);
  const draw = async (figure) => {
    const vis = figure.querySelector(".vis");
    try {
      const spec = JSON.parse(figure.querySelector("script").textContent);
      // `ast`: expressions are interpreted, so the page's policy can forbid eval.
      const result = await vegaEmbed(vis, spec, { config, renderer: "svg", actions: false, ast: true, mode: "vega-lite" });
      vis.dataset.drawn = "yes";
      const button = figure.querySelector(".save");
      button.hidden = false;
      button.addEventListener("click", async () => save(figure.id, literal(await result.view.toSVG())));
    } catch (error) {
      vis.dataset.drawn = "no";
      const line = document.createElement("p");
      line.className = "failed";
      line.textContent = "This chart could not be drawn: " + error.message;
      vis.replaceChildren(line);
      console.error(figure.id, error);
    }
  };
  // Charts far down the page wait until the reader comes near; paper gets them all.
  const figures = [...document.querySelectorAll("figure")];
  const all = [];
  const start = (figure) => {
    if (figure.dataset.started) return;
    figure.dataset.started = "yes";
    all.push(draw(figure));
  };
  const watch = new IntersectionObserver(
    (entries) => entries.filter((e) => e.isIntersecting).forEach((e) => start(e.target)), { rootMargin: "800px" });
  figures.forEach((figure) => watch.observe(figure));
  window.addEventListener("beforeprint", () => figures.forEach(start));
  window.emerDrawAll = async () => {
    figures.forEach(start);
    await Promise.all(all);
    root.dataset.charts = "drawn";
  };
  if (location.hash === "#all-charts") window.emerDrawAll();

  // Tables: a click on a heading sorts by it, numbers as numbers, nothing last.
  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent;
  document.querySelectorAll("th button").forEach((button) => {
    button.addEventListener("click", () => {
      const heading = button.parentElement, table = heading.closest("table"), column = heading.cellIndex;
      const up = heading.getAttribute("aria-sort") !== "ascending";
      table.querySelectorAll("th").forEach((other) => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const numeric = heading.classList.contains("n");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const x = value(a, column), y = value(b, column);
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = numeric ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true });
        return up ? order : -order;
      });
      table.tBodies[0].append(...rows);
    });
  });

  // Where the reader is.
  const links = new Map([...document.querySelectorAll(".bar nav a")].map((a) => [a.getAttribute("href").slice(1), a]));
  const spy = new IntersectionObserver((entries) => entries.forEach((e) => {
    if (!e.isIntersecting) return;
    links.forEach((a) => a.removeAttribute("aria-current"));
    const link = links.get(e.target.id);
    if (link) link.setAttribute("aria-current", "true");
  }), { rootMargin: "-10% 0px -75% 0px" });
  document.querySelectorAll("section[id]").forEach((section) => spy.observe(section));
})();
