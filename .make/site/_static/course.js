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
addEventListener("load", () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(reachable));
addEventListener("resize", reachable);
