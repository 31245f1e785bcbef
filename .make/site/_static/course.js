// What Sphinx's pages need in order to work from the disk, and for who cannot use a mouse.

// A page from the disk may not read its neighbours: search shows titles, without extracts.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined")
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// What scrolls in its own box can be reached by the keyboard.
function reachable() {
  const boxes = "mjx-container[display], article table, .bn-html, .bn-output";
  for (const box of document.querySelectorAll(boxes))
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
}

// A full stop or a comma stays on the line of the formula before it.
function joined() {
  for (const formula of document.querySelectorAll("mjx-container:not([display])")) {
    const box = formula.closest("span.math") ?? formula;
    const after = box.nextSibling;
    const mark = after?.nodeType === Node.TEXT_NODE && after.data.match(/^[.,;:!?)\]’”]+/);
    if (!mark) continue;
    const line = document.createElement("span");
    line.style.whiteSpace = "nowrap";
    box.before(line);
    after.splitText(mark[0].length);
    line.append(box, after);
  }
}

addEventListener("load", async () => {
  await window.MathJax?.startup?.promise;
  joined();
  reachable();
});
addEventListener("resize", reachable);
