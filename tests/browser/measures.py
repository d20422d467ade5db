"""What a page must be for people who see little, use no mouse or hold a small phone: measured in the browser."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

#: Contrast of text to what is behind it (WCAG 2.2, level AAA), size of text and of what is pressed, in CSS pixels.
CONTRAST, TEXT, TARGET = 7.0, 18.0, 48.0

_SCRIPT = """() => {
  const problems = [];
  const channel = (value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([red, green, blue]) => 0.2126 * channel(red) + 0.7152 * channel(green) + 0.0722 * channel(blue);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const color = parts(getComputedStyle(each).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const shown = (element) => element.getClientRects().length > 0;
  const says = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  for (const element of document.querySelectorAll('body, body *')) {
    if (!shown(element) || !(says(element) || element.tagName === 'INPUT')) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parts(style.color)), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = `${element.tagName} "${(element.textContent || element.id).trim().slice(0, 30)}"`;
    if (contrast < %(contrast)s) problems.push(`${name}: contrast ${contrast.toFixed(2)}`);
    if (parseFloat(style.fontSize) < %(text)s) problems.push(`${name}: text of ${style.fontSize}`);
  }
  for (const element of document.querySelectorAll('a, button, input')) {
    if (!shown(element)) continue;
    // What ticks a box is its whole label.
    const pressed = (['checkbox', 'radio'].includes(element.type) && element.closest('label')) || element;
    const box = pressed.getBoundingClientRect();
    const name = `${element.tagName} "${(element.textContent || element.id).trim()}"`;
    const alone = !element.closest('.problem');
    if (alone && (box.height < %(target)s || box.width < %(target)s))
      problems.push(`${name}: ${box.width} by ${box.height}`);
    const titled = element.getAttribute('aria-label') || element.title || element.querySelector('[title]') ||
      (element.type === 'submit' && element.value);
    if (element.tagName === 'INPUT' && !element.labels.length && !titled) problems.push(`${name}: no label`);
    if (element.tagName !== 'INPUT' && !element.textContent.trim() && !titled) problems.push(`${name}: no name`);
  }
  const count = (selector) => document.querySelectorAll(selector).length;
  for (const one of ['h1', 'main', 'header', 'title']) if (count(one) !== 1) problems.push(`${count(one)} of ${one}`);
  if (!document.documentElement.lang) problems.push('no language');
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  if (new Set(ids).size !== ids.length) problems.push('an id twice');
  for (const element of document.querySelectorAll('[aria-describedby]'))
    for (const id of element.getAttribute('aria-describedby').split(' '))
      if (!document.getElementById(id)) problems.push(`described by ${id}, which is not there`);
  const levels = [...document.querySelectorAll('h1, h2, h3')].map((element) => Number(element.tagName[1]));
  if (levels.some((level, index) => index && level > levels[index - 1] + 1)) problems.push('a level skipped');
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) problems.push('scrolls sideways');
  for (const table of document.querySelectorAll('table')) {
    const room = table.parentElement.getBoundingClientRect();
    const over = table.getBoundingClientRect().right - room.right;
    if (shown(table) && over > 1) problems.push(`a table ${over.toFixed(0)} wider than its place`);
  }
  for (const label of document.querySelectorAll('td[data-label], th[data-label]')) {
    const written = getComputedStyle(label, '::before');
    const taller = parseFloat(written.height) - label.getBoundingClientRect().height;
    if (shown(label) && written.content !== 'none' && taller > 1)
      problems.push(`the label "${label.dataset.label}" is cut off`);
  }
  return problems;
}"""


def problems(page: Page, *, contrast: float = CONTRAST, text: float = TEXT, target: float = TARGET) -> list[str]:
    """Return what is wrong with a page that runs scripts, in words; empty is good."""
    script = _SCRIPT % {"contrast": contrast, "text": text, "target": target}
    found: list[str] = page.evaluate(script)
    return found


def sizes(page: Page, selector: str) -> list[tuple[float, float]]:
    """Return width and height of each element, in CSS pixels."""
    boxes: list[Any] = [element.bounding_box() for element in page.query_selector_all(selector)]
    return [(box["width"], box["height"]) for box in boxes if box]
