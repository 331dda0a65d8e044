// What a mark says when it is pointed at or focused, and the way on for old links into asv's pages.
"use strict";

// asv's pages were once the first page: "#/regressions", "#ppca.Sampling.track_wall?p-n=500".
if (/^#(\/|[\w.]+\.(time|track|peakmem|mem|timeraw)_)/.test(location.hash)) {
  const asv = document.querySelector('nav a[href$="history.html"]');
  location.replace(asv.href + location.hash);
}

// On paper nothing can be unfolded.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    addEventListener("afterprint", () => (details.open = false), { once: true });
  }
});

const hint = document.createElement("div");
hint.id = "hint";
hint.hidden = true;
hint.setAttribute("aria-hidden", "true");
document.body.append(hint);

function markOf(target) {
  if (!(target instanceof Element)) return null;
  const mark = target.closest("svg [role='graphics-symbol'][aria-roledescription]");
  const within = mark || (target.closest("svg a") && target.closest("svg a").querySelector("[aria-label]"));
  return within && !/axis|legend|title/.test(within.getAttribute("aria-roledescription") || "") ? within : null;
}

function show(event) {
  const mark = markOf(event.target);
  if (!mark || !mark.getAttribute("aria-label")) return hide();
  hint.textContent = mark.getAttribute("aria-label");
  hint.hidden = false;
  const box = mark.getBoundingClientRect();
  const left = Math.min(box.right + 8, document.documentElement.clientWidth - hint.offsetWidth - 8);
  hint.style.left = Math.max(8, left) + scrollX + "px";
  hint.style.top = box.bottom + scrollY + 6 + "px";
}

function hide() {
  hint.hidden = true;
}

for (const type of ["pointerover", "focusin"]) document.addEventListener(type, show);
document.addEventListener("focusout", hide);
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
