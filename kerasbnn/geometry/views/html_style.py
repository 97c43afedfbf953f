"""The style sheet of an HTML report."""

STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1f2328; --faint: #59636e; --page: #ffffff; --panel: #f6f8fa;
  --line: #d1d9e0; --link: #0757ba;
  --good: #116329; --good-back: #dafbe1;
  --change: #7a4e00; --change-back: #fff3c4;
  --stop: #a40e26; --stop-back: #ffe4e1;
  --none: #59636e; --none-back: #eaeef2;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6edf3; --faint: #9ba4ae; --page: #0f1318; --panel: #171c23;
    --line: #343b44; --link: #79b8ff;
    --good: #7ee2a0; --good-back: #12351f;
    --change: #f2cc60; --change-back: #3a2d05;
    --stop: #ffa198; --stop-back: #47151a;
    --none: #9ba4ae; --none-back: #262c35;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 76rem; padding: 1.5rem 1rem 4rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1.1rem; margin: 0 0 .25rem; }
p { margin: .25rem 0 .75rem; max-width: 48rem; }
a { color: var(--link); }
a:focus-visible, .scroll:focus-visible { outline: 2px solid var(--link); }
code {
  font: .9em ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere;
}
p code, li code { background: var(--panel); border-radius: .25em; padding: .1em .3em; }
.faint { color: var(--faint); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
caption {
  caption-side: bottom; text-align: left; color: var(--faint); padding: .6rem .75rem;
}
th, td { padding: .4rem .6rem; text-align: right; white-space: nowrap; }
thead th { white-space: normal; background: var(--panel); vertical-align: bottom; }
tbody tr { border-top: 1px solid var(--line); }
td { font-variant-numeric: tabular-nums; }
.text { text-align: left; }
th.text { font-weight: 600; white-space: normal; overflow-wrap: anywhere; }
tbody th.text { min-width: 9rem; max-width: 18rem; }
small { color: var(--faint); font-size: .85em; font-weight: 400; }
.verdict {
  display: inline-block; border-radius: 1em; padding: .05em .7em;
  font-size: .85rem; font-weight: 600; white-space: nowrap;
}
.good { color: var(--good); background: var(--good-back); }
.change { color: var(--change); background: var(--change-back); }
.stop { color: var(--stop); background: var(--stop-back); }
.none { color: var(--none); background: var(--none-back); }
.layer {
  border: 1px solid var(--line); border-radius: .5rem; padding: 1rem 1.25rem;
  margin: 1rem 0;
}
.findings { list-style: none; margin: .75rem 0; padding: 0; max-width: 52rem; }
.findings li { margin: .4rem 0; }
dl {
  display: grid; grid-template-columns: 8rem 1fr; gap: .35rem 1rem; margin: .5rem 0;
}
dt { font-weight: 600; }
dd { margin: 0; max-width: 52rem; }
.plots {
  display: grid; gap: 1rem; margin-top: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr));
}
.wide { grid-template-columns: minmax(0, 54rem); gap: 2rem; }
figure { margin: 0; }
figcaption { color: var(--faint); font-size: .85rem; margin-top: .25rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
pre {
  background: var(--panel); border-radius: .5rem; padding: .75rem; overflow-x: auto;
}
@media (max-width: 40rem) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
  .layer { padding: .75rem; }
}
.wide figure { overflow-x: auto; }
.wide svg { min-width: 38rem; }
@media print {
  .layer, figure { break-inside: avoid; }
  .scroll { overflow: visible; }
}
"""
"""Light and dark; texts have a contrast of at least 4.5 to their ground."""
