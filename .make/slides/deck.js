// A deck: reveal.js, the counting of votes, and whose keys are whose.

const counts = {}; // {tally: {letter: votes}}, kept for as long as this window is open
try {
  Object.assign(counts, JSON.parse(sessionStorage.getItem("bn-votes") ?? "{}"));
} catch {} // a browser that keeps nothing: the votes live as long as the page

function showVotes(tally) {
  const votes = counts[tally.dataset.key] ?? {};
  const most = Math.max(1, ...Object.values(votes));
  for (const row of tally.children) {
    const own = votes[row.dataset.letter] ?? 0;
    row.querySelector("output").textContent = own;
    row.querySelector("i").style.setProperty("--share", `${(100 * own) / most}%`);
    row.querySelector("[data-step='-1']").disabled = own === 0;
  }
}

function vote(tally, letter, step) {
  const votes = (counts[tally.dataset.key] ??= {});
  votes[letter] = Math.max(0, (votes[letter] ?? 0) + step);
  showVotes(tally);
  try {
    sessionStorage.setItem("bn-votes", JSON.stringify(counts));
  } catch {}
}

const tallyNow = () => Reveal.getCurrentSlide()?.querySelector(".tally");

for (const tally of document.querySelectorAll(".tally")) {
  showVotes(tally);
  tally.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    vote(tally, button.parentNode.dataset.letter, Number(button.dataset.step));
    if (event.detail) button.blur(); // after a click, Space is the deck's again
  });
  tally.addEventListener("keydown", (event) => {
    if (event.target.matches("button") && [" ", "Enter"].includes(event.key)) event.stopPropagation();
  });
}

document.addEventListener("keydown", (event) => {
  const inside = document.activeElement?.closest(".bn-explorer, .tally");
  if (inside && ["PageUp", "PageDown", "Escape"].includes(event.key)) {
    // A remote control sends Page Up and Page Down: those turn the slides, wherever the focus is.
    document.activeElement.blur();
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.key === "PageDown") Reveal.next();
    if (event.key === "PageUp") Reveal.prev();
    return;
  }
  const tally = event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey && tallyNow();
  const letter = event.key.toUpperCase();
  if (tally && tally.querySelector(`[data-letter="${CSS.escape(letter)}"]`)) {
    event.stopImmediatePropagation();
    vote(tally, letter, -1);
  }
}, { capture: true });

// For a PDF, reveal.js lays pages out after it is ready, a few frames later.
const laidOut = location.search.includes("print-pdf")
  && new Promise((done) => Reveal.on("pdf-ready", done));

Reveal.initialize({
  width: 1280,
  height: 720,
  margin: 0,
  minScale: 0.1,
  maxScale: 10,
  center: false,
  display: "flex",
  controls: true,
  controlsTutorial: false,
  progress: true,
  hash: true,
  transition: "none",
  navigationMode: "linear",
  pdfMaxPagesPerSlide: 1,
  pdfSeparateFragments: false,
  defaultTiming: 0,
  plugins: [RevealNotes],
}).then(async () => {
  // One more: as key bindings of reveal.js, so that they work from the speaker's window too.
  for (const letter of "ABCDEF")
    Reveal.addKeyBinding(letter.charCodeAt(0), () => {
      const tally = tallyNow();
      if (tally?.querySelector(`[data-letter="${letter}"]`)) vote(tally, letter, 1);
      else if (letter === "B") Reveal.togglePause();
      else if (letter === "F") document.documentElement.requestFullscreen();
    });
  Reveal.on("slidechanged", () => document.activeElement?.blur());
  await laidOut;
  if (document.documentElement.classList.contains("reveal-print")) // all of them are printed
    for (const image of document.images) image.loading = "eager";
  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  window.ready = true;
});
