// node formulas.js FOLDER-OF-MATHJAX < [[TeX, is it displayed?], …] > [HTML, …]
// Each formula as a picture, in lengths of its text's size, with MathML for who cannot see it.

const read = require("fs").readFileSync;

async function main(folder) {
  const MathJax = await require(`${folder}/es5/node-main.js`).init({
    loader: { load: ["input/tex-full", "output/svg"] },
    svg: { fontCache: "none" },
  });
  const adaptor = MathJax.startup.adaptor;
  const made = [];
  for (const [tex, display] of JSON.parse(read(0, "utf8"))) {
    const svg = adaptor.firstChild(MathJax.tex2svg(tex, { display }));
    const wrong = /data-mjx-error="([^"]*)"/.exec(adaptor.outerHTML(svg));
    if (wrong) throw new Error(`${wrong[1]}: ${tex}`);
    const [, top, width, height] = adaptor.getAttribute(svg, "viewBox").split(" ").map(Number);
    const em = (units) => `${+(units / 1000).toFixed(3)}em`;
    adaptor.setAttribute(svg, "width", em(width));
    adaptor.setAttribute(svg, "height", em(height));
    adaptor.setAttribute(svg, "style", `vertical-align: ${em(-(height + top))}`);
    adaptor.setAttribute(svg, "aria-hidden", "true");
    adaptor.removeAttribute(svg, "role");
    const mathml = MathJax.tex2mml(tex, { display }).replace(/\s*\n\s*/g, "");
    made.push(`<span class="formula${display ? " display" : ""}">${adaptor.outerHTML(svg)}` +
      `<span class="unseen">${mathml}</span></span>`);
  }
  process.stdout.write(JSON.stringify(made));
}

main(process.argv[2]).catch((error) => {
  console.error(error.message ?? error);
  process.exit(1);
});
