"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = [...document.querySelectorAll(".plot")];

  // ---- charts ------------------------------------------------------------------------------------------------------
  const coloured = (value, style) => {
    if (Array.isArray(value)) return value.map((each) => coloured(each, style));
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, coloured(each, style)]));
    if (typeof value === "string" && value.startsWith("var(--")) return style.getPropertyValue(value.slice(4, -1)).trim();
    return value;
  };

  const draw = () => {
    const style = getComputedStyle(root);
    for (const place of plots) {
      if (!place.figure || !place.offsetParent) continue;
      const { data, layout } = coloured(place.figure, style);
      Plotly.react(place, data, layout, { displayModeBar: false, responsive: true });
    }
  };

  const unpacked = async (text) => {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };

  const start = async () => {
    if (!plots.length || typeof DecompressionStream === "undefined") return; // each chart then says in words what it shows
    const script = document.createElement("script");
    script.textContent = await unpacked(document.getElementById("plotly").textContent);
    document.head.append(script);
    for (const place of plots) {
      place.figure = JSON.parse(place.querySelector("script").textContent);
      place.replaceChildren();
    }
    draw();
    dark.addEventListener("change", draw);
    for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", draw);
    root.dataset.drawn = "yes";
  };

  // ---- printing: on white, with everything open --------------------------------------------------------------------
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const details of closed) details.open = true;
    root.classList.add("printing");
    if (root.dataset.drawn) draw();
  });
  addEventListener("afterprint", () => {
    for (const details of closed) details.open = false;
    root.classList.remove("printing");
    if (root.dataset.drawn) draw();
  });

  // ---- the list of sections ----------------------------------------------------------------------------------------
  for (const heading of document.querySelectorAll("main h2[id]")) {
    const item = document.createElement("li");
    const link = document.createElement("a");
    link.href = `#${heading.id}`;
    link.textContent = heading.textContent;
    item.append(link);
    document.getElementById("sections").append(item);
  }

  // ---- filters -----------------------------------------------------------------------------------------------------
  for (const form of document.querySelectorAll("form.filter")) {
    const rows = [...document.getElementById(form.dataset.table).tBodies[0].rows];
    const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
    const search = form.querySelector("input[type=search]");
    const boxes = [...form.querySelectorAll("input[type=checkbox]")];
    const status = form.querySelector(".count");
    const nothing = form.parentElement.querySelector(".nothing");
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
      let shown = 0;
      for (const row of rows) {
        const ran = row.dataset.precisions.split(" ").filter(Boolean);
        const fits = words.every((word) => texts.get(row).includes(word));
        const keeps = wanted.size === boxes.length || ran.some((each) => wanted.has(each));
        row.hidden = !(fits && keeps);
        shown += fits && keeps;
      }
      status.textContent = shown === rows.length ? `${rows.length} ops` : `${shown} of ${rows.length} ops`;
      nothing.hidden = shown > 0;
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    filter();
  }

  // ---- sorting -----------------------------------------------------------------------------------------------------
  const compared = (kind, down) => ([a], [b]) => {
    if (a === "" || b === "") return (a === "") - (b === ""); // what is not known stays below
    const order = kind === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
    return down ? -order : order;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of table.querySelectorAll("th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const keyed = [...body.rows].map((row) => {
          const cell = row.cells[head.cellIndex];
          const key = head.dataset.sort === "number" ? cell.dataset.value : cell.textContent.trim();
          return [key === "" || head.dataset.sort !== "number" ? key : Number(key), row];
        });
        body.append(...keyed.sort(compared(head.dataset.sort, down)).map(([, row]) => row));
      });
    }
  }

  // ---- copying the command -----------------------------------------------------------------------------------------
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // a browser may refuse; the user can still press Ctrl-C
        button.textContent = "Selected";
      }
    });
  }

  start();
})();
