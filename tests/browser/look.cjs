// Looks at pages as a browser shows them: `look.cjs FOLDER NAME=URL…`. For each page, scheme and width it leaves a
// screenshot in FOLDER, and it fails on what axe-core finds, on pages wider than the window, and on refused resources.
'use strict';
const path = require('node:path');
const { chromium } = require('playwright-core');
const { AxeBuilder } = require('@axe-core/playwright');

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

async function look(browser, folder, name, url, colorScheme, width) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  const wrong = [];
  page.on('console', (message) => { if (message.type() === 'error' && !/404/.test(message.text())) wrong.push(message.text()); });
  await page.goto(url);
  // Colours depend on the scheme alone and the layout on the width alone: two of the four see everything.
  const found = (colorScheme === 'light') === (width > 600) ? await new AxeBuilder({ page }).withTags(TAGS).analyze() : null;
  for (const { id, impact, nodes } of found?.violations ?? []) {
    wrong.push(`${id} (${impact}): ${nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`).join('\n  ')}`);
  }
  const overhang = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (overhang > 0) wrong.push(`${overhang} pixels stick out to the right`);
  await page.screenshot({ path: path.join(folder, `${name}-${colorScheme}-${width}.png`), fullPage: true });
  await context.close();
  return wrong.map((what) => `${name}, ${colorScheme}, ${width}: ${what}`);
}

(async () => {
  const [folder, ...pages] = process.argv.slice(2);
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', headless: true, args: QUIET });
  const wrong = [];
  for (const page of pages) {
    const at = page.indexOf('=');
    for (const scheme of ['light', 'dark']) {
      for (const width of [1280, 390]) {
        wrong.push(...await look(browser, folder, page.slice(0, at), page.slice(at + 1), scheme, width));
      }
    }
  }
  await browser.close();
  for (const what of wrong) console.error(what);
  process.exit(wrong.length > 0 ? 1 : 0);
})();
